"""Tools that quantise graphs, one file each, offered as `QUANTIZER`; see `juggler.runtime.quantize`.

Contract: `test_quantize_tools.py`.
"""
