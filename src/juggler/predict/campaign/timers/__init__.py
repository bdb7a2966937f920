"""What takes the time of a kernel apart, one file a backend.

Contract: `campaign/test_timing.py`.
"""
