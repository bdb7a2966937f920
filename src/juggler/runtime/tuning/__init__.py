"""The exact rewriting with a clock in its hand, and latencies kept between runs."""
