"""Hostile files for every reader: `make fuzz MINUTES=30`, and a minute of it among the tests."""
