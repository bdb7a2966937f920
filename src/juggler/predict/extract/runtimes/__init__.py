"""Readers of what runtimes make of a graph, one file a runtime."""
