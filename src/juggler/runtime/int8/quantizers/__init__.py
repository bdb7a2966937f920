"""Tools that quantise graphs, one file each, offered as `QUANTIZER`; see `juggler.runtime.int8.quantization`.

Contract: `test_quantizers.py`.
"""
