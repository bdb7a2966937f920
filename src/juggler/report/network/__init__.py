"""A network in words and pictures: its graph, what was rewritten, how exact and how fast it is."""
