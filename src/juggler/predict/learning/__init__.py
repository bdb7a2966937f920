"""From timed kernels to a function that gives the milliseconds of others."""
