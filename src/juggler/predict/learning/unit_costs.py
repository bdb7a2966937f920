"""Prices of counted work: what each row, tile, byte or product of an algorithm costs on a device.

`t = sum of price * count`, no price below 0, so that the answer goes on beyond what was sampled. Fitted to
relative errors, kernels far off count less. A price that few kernels tell of stays low, and one that fewer
than six tell of is none: what a count of two kernels seems to cost is what is odd about them, and would be
charged a hundredfold to a kernel that has a hundred times as much of it. For the same reason a byte that is
moved from farther away costs no more than a few times what it costs from nearer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from juggler.nouns import Noun
from juggler.predict.kernels.roofline import Roofline
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.work.algorithms import COUNTS, algorithms
from juggler.predict.learning.work.memory import MOVED, Columns

Floats = npt.NDArray[np.float64]

FEWEST = 12  # kernels of an algorithm, below which the family's roofline stands in
TELLING = 6  # kernels that have any of a count, below which it has no price
CAUTION = 0.3  # kernels at zero price that each price is held against, at its largest count
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
        """Fit the prices to latencies `[n]` above 0."""
        target = np.asarray(target_ms, np.float64)
        names = algorithms(table)
        found: dict[str, dict[str, float]] = {}
        for name in sorted({str(name) for name in names}):
            own = np.flatnonzero(names == name)
            if len(own) >= FEWEST:
                found[name] = _fitted(COUNTS[name](table.take(own)), target[own])
        return cls(table.family, found, Roofline.fit(table, target))

    def parts(self, table: KernelTable) -> tuple[Floats, Columns]:
        """Return milliseconds `[n]`, and which share of them each price is, by `algorithm.count`."""
        latency, names = np.empty(len(table)), algorithms(table)
        shares: Columns = {f"{a}.{c}": np.zeros(len(table)) for a, own in self.ms.items() for c in own}
        for name in sorted({str(name) for name in names}):
            own = np.flatnonzero(names == name)
            part = table.take(own)
            if name not in self.ms:
                latency[own] = self.roofline.latency_ms(part)
                continue
            counts = COUNTS[name](part)
            costs = {
                count: price * counts[count] for count, price in self.ms[name].items() if count in counts
            }
            total = sum(costs.values(), np.zeros(len(own)))
            latency[own] = np.maximum(total, LEAST_MS)
            for count, cost in costs.items():
                shares[f"{name}.{count}"][own] = cost / latency[own]
        return latency, shares


def _fitted(counts: Columns, target: Floats) -> dict[str, float]:
    """Return the prices above 0 that make relative errors least, by reweighted least squares."""
    names = [name for name, values in counts.items() if np.count_nonzero(values) >= TELLING]
    loads = np.stack([counts[name] for name in names], axis=1) / target[:, None]
    largest = loads.max(axis=0)
    loads = loads / largest
    weights, found = np.ones(len(target)), np.zeros(len(names))
    for _ in range(ROUNDS):
        found = _bounded(loads, weights, names, largest)
        ratio = np.maximum(loads @ found, 1e-9)
        # Too long and too short by one factor are equally wrong, though the first is the larger difference.
        weights = np.sqrt(USUAL / np.maximum(np.abs(np.log(ratio)), SOFTEST)) / np.maximum(ratio, 0.3)
    prices = found / largest
    return {name: float(price) for name, price in zip(names, prices, strict=True) if price > 0.0}


def _bounded(loads: Floats, weights: Floats, names: Sequence[str], largest: Floats) -> Floats:
    """Return the solution in which no move from farther away is too dear: those that are get the most."""
    fixed: dict[int, float] = {}
    found = _solved(loads, weights, fixed)
    for _ in names:
        prices = dict(zip(names, found / largest, strict=True))
        dear = {names.index(name): most for name, most in _too_dear(prices)}
        if not dear:
            break
        fixed |= {column: most * largest[column] for column, most in dear.items()}
        found = _solved(loads, weights, fixed)
    return found


def _solved(loads: Floats, weights: Floats, fixed: Mapping[int, float]) -> Floats:
    """Return the weighted solution that is nowhere below 0, cautious, some of its values given."""
    from scipy.optimize import nnls  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy

    found = np.zeros(loads.shape[1])
    found[list(fixed)] = list(fixed.values())
    free = [column for column in range(loads.shape[1]) if column not in fixed]
    held = np.eye(len(free)) * np.sqrt(CAUTION)
    left = np.concatenate([loads[:, free] * weights[:, None], held])
    right = weights * (1.0 - loads @ found)
    found[free] = nnls(left, np.concatenate([right, np.zeros(len(free))]))[0]
    return found


def _too_dear(prices: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield moves from farther away that cost more than they may, and the most that they may cost."""
    nearer = prices.get("input", 0.0)
    for name in sorted((n for n in prices if n.startswith(MOVED)), key=lambda n: float(n[len(MOVED) :])):
        most = max(DEARER * nearer, DEAR_MS)
        if prices[name] > most * (1.0 + 1e-6):
            yield name, most
        nearer += min(prices[name], most)
