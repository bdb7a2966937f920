"""A roofline fitted to measured kernels: a fixed cost, a peak, and bandwidths by working set.

`t = overhead + operations / peak + input / B + weights / B + output / B`, where what goes beyond one
cache's size moves at the bandwidth of the next level: continuous, monotone, and on beyond the sampled range.
Compute and traffic are added, not the larger taken: kernels overlap them badly, and so it fits better.
Fitted to the logs, for it is the relative error that counts, by least absolute deviation, so that a few
kernels far off the roof do not bend it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from juggler.nouns import Noun
from juggler.predict.kernels.table import KernelTable

Floats = npt.NDArray[np.float64]

# Where a working set outgrows a level: about a core's L2, and a share of the last level.
LEVELS = (0.0, float(1 << 20), float(24 << 20))
_STEPS, _SOFTEST = 200, 0.02
_PRIOR = 0.01  # of a sample: how much the start weighs, for costs that no sample pays


@dataclass(frozen=True)
class Roofline(Noun):
    """What bounds a family's kernels on a device.

    Attributes:
        family: of kernels.
        costs: ms a call; ms an operation; then ms a byte, of input, weights and output, by level.
    """

    family: str
    costs: tuple[float, ...]

    @classmethod
    def fit(cls, table: KernelTable, target_ms: npt.ArrayLike) -> Self:
        """Fit the costs to latencies `[n]` above 0 by iteratively reweighted Levenberg-Marquardt steps."""
        loads, target = _loads(table), np.asarray(target_ms, np.float64)
        start = _start(loads, target)
        return cls(table.family, tuple(float(cost) for cost in _fit(loads, target, start)))

    def latency_ms(self, table: KernelTable) -> Floats:
        """Return the fitted time of each kernel, `[n]`, above 0."""
        latency: Floats = _loads(table) @ np.asarray(self.costs)
        return latency


def _loads(table: KernelTable) -> Floats:
    """Return what each cost is multiplied by, `[n, costs]`."""
    columns = [np.ones(len(table)), table["operations"]]
    moved = [table[f"{name}_bytes"] for name in ("input", "weight", "output")]
    total = np.maximum(sum(moved, np.zeros(len(table))), 1.0)
    for low, high in zip(LEVELS, (*LEVELS[1:], np.inf), strict=True):
        share = np.clip(total - low, 0.0, high - low) / total
        columns += [part * share for part in moved]
    return np.stack(columns, axis=1)


def _start(loads: Floats, target: Floats) -> Floats:
    """Return costs of the right order: each alone would explain half of the kernels that it loads most."""
    start = np.empty(loads.shape[1])
    for column, load in enumerate(loads.T):
        used = load > 0.0
        ratio = target[used] / load[used] if used.any() else np.array([1e-12])
        start[column] = float(np.quantile(ratio, 0.02)) / 2.0
    return start


def _fit(loads: Floats, target: Floats, start: Floats) -> Floats:
    theta, prior, damping = np.log(start), np.log(start), 1e-2
    best, pulled = _deviation(loads, target, theta), _PRIOR / len(target)
    for _ in range(_STEPS):
        parts = loads * np.exp(theta)
        predicted = parts.sum(1)
        residual = np.log(target) - np.log(predicted)
        slope = parts / predicted[:, None]
        weight = 1.0 / np.maximum(np.abs(residual), _SOFTEST)  # least squares so weighted is least absolute
        normal = (slope * weight[:, None]).T @ slope / len(target) + pulled * np.eye(len(theta))
        pull = slope.T @ (weight * residual) / len(target) - pulled * (theta - prior)
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), pull)
        trial = theta + np.clip(step, -2.0, 2.0)
        found = _deviation(loads, target, trial)
        if found < best:
            gain, theta, best, damping = best - found, trial, found, max(damping / 3.0, 1e-6)
            if gain < 1e-7:
                break
        else:
            damping *= 4.0
            if damping > 1e8:
                break
    return np.exp(theta)


def _deviation(loads: Floats, target: Floats, theta: Floats) -> float:
    return float(np.abs(np.log(target) - np.log(loads @ np.exp(theta))).mean())
