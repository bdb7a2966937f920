"""Record schemas, one file each: each offers `SCHEMA`, see `juggler.data.dataset.Schema`.

Contract: `contracts_data.py`.
"""
