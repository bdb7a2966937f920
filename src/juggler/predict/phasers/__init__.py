"""What takes the time of a kernel apart, one file a backend.

Contract: `test_phases.py`.
"""
