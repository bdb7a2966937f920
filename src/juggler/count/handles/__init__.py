"""Handles, one file a group of operators: each offers `HANDLES`, see `juggler.count.work`.

Contract: `test_handles.py`.
"""
