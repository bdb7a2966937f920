"""Readers of what runtimes make of a graph, one file a runtime.

Contract: `test_extract.py`.
"""
