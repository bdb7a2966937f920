"""The predictor of one device: a network in, milliseconds with an interval out."""
