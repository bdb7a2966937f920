"""What a network does, counted operator by operator: work, weights, traffic, buffers."""
