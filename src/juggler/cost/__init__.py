"""What it should cost, and the clock that says what it did."""
