"""Families of networks, one file each: each offers `FAMILY`, a mapping from network name to its maker.

Contract: `test_networks.py`.
"""
