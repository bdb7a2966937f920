"""Importers of other formats, one file each: each offers `IMPORTER`.

Contract: `test_importer.py`.
"""
