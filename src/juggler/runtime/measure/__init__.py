"""What networks take on backends, measured: time, peak memory, and where the speed comes from."""
