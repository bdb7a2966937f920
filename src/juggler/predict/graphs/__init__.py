"""Graphs to time and to read: of one kernel, of random networks, of what a user names."""
