"""Benchmarks: one script a claim, and what fills the pages from their results."""
