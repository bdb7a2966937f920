"""What a network should cost: layers, rooflines, and models of hardware that is not at hand."""
