"""Experiments, one file each: each offers `EXPERIMENT`, see `juggler.reproduce.experiment`.

Contract: `test_reproduce_run.py`.
"""
