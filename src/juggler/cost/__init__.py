"""What a network should cost: counts, rooflines, and models of hardware that is not at hand."""
