"""The paper's tables and figures, measured on the machine at hand.

An experiment is one file in `experiments/`; it says which networks race against each other and what the
paper published. `reproduce` races them, cell by cell, keeps every cell on disk as soon as it is done, and
goes on from there the next time.
"""

from juggler.reproduce.experiment import EXPERIMENTS, Experiment, Race, Scale
from juggler.reproduce.results import Cell, MachineResults, Reproduction
from juggler.reproduce.run import Options, reproduce
from juggler.reproduce.store import machine_name, slug, write_machine, write_reproduction

__all__ = [
    "EXPERIMENTS",
    "Cell",
    "Experiment",
    "MachineResults",
    "Options",
    "Race",
    "Reproduction",
    "Scale",
    "machine_name",
    "reproduce",
    "slug",
    "write_machine",
    "write_reproduction",
]
