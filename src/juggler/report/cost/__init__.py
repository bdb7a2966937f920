"""What a network costs, in words and pictures: layers, the roofline, sweeps over arrays."""
