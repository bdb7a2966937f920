"""Data sets, one file each: each offers `SET`, see `juggler.data.dataset.DataSet`.

Contract: `contracts_data.py`.
"""
