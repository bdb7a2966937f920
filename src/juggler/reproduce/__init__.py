"""The paper's tables and figures, measured on the machine at hand.

An experiment is one file in `experiments/`; it says which networks race against each other and what the
paper published. `run` races them, cell by cell, keeps every cell on disk as soon as it is done, and goes on
from there the next time.
"""
