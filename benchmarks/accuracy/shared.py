"""What all benchmarks share, for the scripts of this folder: they lie one folder below it."""

from __future__ import annotations

import sys
from pathlib import Path

# A script's own folder is on Python's path, the one above it is not. Last, so that it hides nothing.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import pages
from common import RESULTS, ROOT, TRIALS, Finding, read, write
from student import quantile

__all__ = ["RESULTS", "ROOT", "RUNS", "STUDIES", "TRIALS", "Finding", "pages", "quantile", "read", "write"]

RUNS = ROOT / "runs" / "accuracy"
STUDIES = {"cpu": "accuracy", "gpu": "accuracy_gpu"}
"""The result file of each preset of scale, by name."""
