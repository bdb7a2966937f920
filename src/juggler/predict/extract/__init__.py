"""The kernels that a runtime really runs, extracted from its optimised graph."""
