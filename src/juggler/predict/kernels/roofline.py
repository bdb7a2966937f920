"""A roofline fitted to measured kernels: a fixed cost, a peak, and bandwidths by working set.

`t = overhead + operations / peak + input / B + weights / B + output / B`, where what goes beyond one
cache's size moves at the bandwidth of the next level: continuous, monotone, and on beyond the sampled range.
Compute and traffic are added, not the larger taken: kernels overlap them badly, and so it fits better.
Fitted to the logs, for it is the relative error that counts, by least absolute deviation but for errors of
a few percent, so that kernels far off the roof do not bend it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from juggler.arrays import Floats
from juggler.nouns import Noun
from juggler.predict.kernels.table import KernelTable

# Where a working set outgrows a level: about a core's L2, and a share of the last level.
LEVELS = (0.0, float(1 << 20), float(24 << 20))
_EVALUATIONS, _TOLERANCE = 200, 1e-6
_SOFTEST = 0.02  # of a log: below it errors count by their square
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
        """Fit the costs to latencies `[n]` above 0 by robust least squares of their logs."""
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
    """Return the costs under which Huber's loss of the log errors is least; each is held near its start."""
    from scipy.optimize import least_squares  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy

    log_target, log_start = np.log(target), np.log(start)
    pull = np.sqrt(_PRIOR * _SOFTEST)

    def errors(log_costs: Floats) -> Floats:
        # A step too far overflows; what is not finite is refused, and a shorter one tried.
        with np.errstate(all="ignore"):
            misses = np.log(loads @ np.exp(log_costs)) - log_target
        return np.concatenate([misses, pull * (log_costs - log_start)])

    def slopes(log_costs: Floats) -> Floats:
        parts = loads * np.exp(log_costs)
        return np.concatenate([parts / parts.sum(1)[:, None], pull * np.eye(len(log_costs))])

    options = {"ftol": _TOLERANCE, "xtol": _TOLERANCE, "max_nfev": _EVALUATIONS}
    solution = least_squares(errors, log_start, slopes, loss="huber", f_scale=_SOFTEST, **options)
    return np.exp(np.asarray(solution.x, np.float64))
