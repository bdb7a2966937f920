"""Unit costs of counted work: what each row, tile, byte or product of an algorithm costs on a device.

`t = sum of unit cost * count`, none below 0, so that the answer goes on beyond what was sampled. Fitted to
relative errors, kernels far off count less. A unit cost that few kernels tell of stays low, and one of which
fewer than six tell is none: what a count of two kernels seems to cost is what is odd about them, and would be
charged a hundredfold to a kernel that has a hundred times as much of it. For the same reason a byte that is
moved from farther away costs no more than a few times what it costs from nearer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from juggler.arrays import Floats
from juggler.nouns import Noun
from juggler.predict.kernels.roofline import Roofline
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.work.algorithms import COUNTS, algorithms
from juggler.predict.learning.work.memory import MOVED, Columns

FEWEST = 12  # kernels of an algorithm, below which the family's roofline stands in
TELLING = 6  # kernels that have any of a count, below which it has no unit cost
CAUTION = 0.3  # kernels at no cost that each unit cost is held against, at its largest count
ROUNDS, SOFTEST, USUAL = 15, 0.02, 0.1
LEAST_MS = 1e-6
DEARER, DEAR_MS = 4.0, 1e-7  # times what a byte costs up to there; and ms (10 GB/s) that it may cost anyhow


@dataclass(frozen=True)
class UnitCosts(Noun):
    """What a family's algorithms cost on a device.

    Attributes:
        family: of kernels.
        ms: by algorithm, then by what is counted; what costs nothing is left out.
        roofline: for kernels of other algorithms.
    """

    family: str
    ms: dict[str, dict[str, float]]
    roofline: Roofline

    @classmethod
    def fit(cls, table: KernelTable, target_ms: npt.ArrayLike) -> Self:
        """Fit the unit costs to latencies `[n]` above 0."""
        target = np.asarray(target_ms, np.float64)
        names = algorithms(table)
        costs: dict[str, dict[str, float]] = {}
        for name in sorted({str(name) for name in names}):
            row_index = np.flatnonzero(names == name)
            if len(row_index) >= FEWEST:
                costs[name] = _fit(COUNTS[name](table.take(row_index)), target[row_index])
        return cls(table.family, costs, Roofline.fit(table, target))

    def parts(self, table: KernelTable) -> tuple[Floats, Columns]:
        """Return milliseconds `[n]`, and which share of them each unit cost makes, by `algorithm.count`."""
        latency, names = np.empty(len(table)), algorithms(table)
        shares: Columns = {f"{a}.{c}": np.zeros(len(table)) for a, ms in self.ms.items() for c in ms}
        for name in sorted({str(name) for name in names}):
            row_index = np.flatnonzero(names == name)
            part = table.take(row_index)
            if name not in self.ms:
                latency[row_index] = self.roofline.latency_ms(part)
                continue
            counts = COUNTS[name](part)
            costs = {count: ms * counts[count] for count, ms in self.ms[name].items() if count in counts}
            total = sum(costs.values(), np.zeros(len(row_index)))
            latency[row_index] = np.maximum(total, LEAST_MS)
            for count, cost in costs.items():
                shares[f"{name}.{count}"][row_index] = cost / latency[row_index]
        return latency, shares


def _fit(counts: Columns, target: Floats) -> dict[str, float]:
    """Return the unit costs above 0 that make relative errors least, by reweighted least squares."""
    names = [name for name, values in counts.items() if np.count_nonzero(values) >= TELLING]
    loads = np.stack([counts[name] for name in names], axis=1) / target[:, None]
    largest = loads.max(axis=0)
    loads = loads / largest
    weights, solution = np.ones(len(target)), np.zeros(len(names))
    for _ in range(ROUNDS):
        solution = _solve_bounded(loads, weights, names, largest)
        ratio = np.maximum(loads @ solution, 1e-9)
        # Too long and too short by one factor are equally wrong, though the first is the larger difference.
        weights = np.sqrt(USUAL / np.maximum(np.abs(np.log(ratio)), SOFTEST)) / np.maximum(ratio, 0.3)
    unit_costs = solution / largest
    return {name: float(cost) for name, cost in zip(names, unit_costs, strict=True) if cost > 0.0}


def _solve_bounded(loads: Floats, weights: Floats, names: Sequence[str], largest: Floats) -> Floats:
    """Return the solution in which no move from farther away is too dear: those that are get the most."""
    fixed: dict[int, float] = {}
    solution = _solve(loads, weights, fixed)
    for _ in names:
        unit_costs = dict(zip(names, solution / largest, strict=True))
        dear = {names.index(name): most for name, most in _too_dear(unit_costs)}
        if not dear:
            break
        fixed |= {column: most * largest[column] for column, most in dear.items()}
        solution = _solve(loads, weights, fixed)
    return solution


def _solve(loads: Floats, weights: Floats, fixed: Mapping[int, float]) -> Floats:
    """Return the weighted solution that is nowhere below 0, cautious, some of its values given."""
    from scipy.optimize import nnls  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy

    solution = np.zeros(loads.shape[1])
    solution[list(fixed)] = list(fixed.values())
    free = [column for column in range(loads.shape[1]) if column not in fixed]
    held = np.eye(len(free)) * np.sqrt(CAUTION)
    left = np.concatenate([loads[:, free] * weights[:, None], held])
    right = weights * (1.0 - loads @ solution)
    solution[free] = nnls(left, np.concatenate([right, np.zeros(len(free))]))[0]
    return solution


def _too_dear(unit_costs: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield moves from farther away that cost more than they may, and the most that they may cost."""
    nearer = unit_costs.get("input", 0.0)
    for name in sorted((n for n in unit_costs if n.startswith(MOVED)), key=lambda n: float(n[len(MOVED) :])):
        most = max(DEARER * nearer, DEAR_MS)
        if unit_costs[name] > most * (1.0 + 1e-6):
            yield name, most
        nearer += min(unit_costs[name], most)
