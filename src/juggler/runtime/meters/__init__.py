"""What reads energy, one file each: `METER`.

Contract: `test_power.py`.
"""
