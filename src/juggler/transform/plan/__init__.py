"""Which form each region takes, and carrying that out."""
