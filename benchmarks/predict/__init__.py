"""How near the predictor comes: kernels held out, networks timed, published and laboratory data."""
