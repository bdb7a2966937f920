"""The work of a kernel by the algorithm that it runs by, counted."""
