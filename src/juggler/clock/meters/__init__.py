"""What reads energy, one file each: `METER`, see `juggler.clock.power.Meter`.

Contract: `test_power.py`.
"""
