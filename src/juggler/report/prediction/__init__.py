"""Predictions and predictors, in words and pictures, published values beside."""
