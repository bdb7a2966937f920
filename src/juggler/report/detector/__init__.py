"""A detector in words and pictures: scores, confusion, the detection curve, alerts."""
