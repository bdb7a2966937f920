"""Fit predictors to samples, compare learners, and correct a predictor for a machine."""
