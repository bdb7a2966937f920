"""Pages that say what result files say, and the figures of the README."""
