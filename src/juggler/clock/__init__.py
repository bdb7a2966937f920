"""The clock: what a call takes, raced, watched, and with an interval; and meters of energy."""
