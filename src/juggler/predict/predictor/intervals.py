"""Intervals that hold without trusting a learner: split conformal prediction on the log residual.

What is guaranteed. Let calibration samples and the new one be exchangeable: drawn at random from the same
mixture, timed in the same way, none of them seen by the learner, none chosen because of what was predicted.
Then the interval of level `1 - alpha` covers the new one with probability at least `1 - alpha`, and at most
`1 - alpha + 1 / (n + 1)` where no two scores are equal, whatever the learner is. That probability is over the
drawing of the calibration samples too. Intervals of a family are calibrated on that family alone (Mondrian),
so it holds within each family with at least `1 / alpha - 1` samples; smaller ones share one quantile, for
which it holds over all of them together.

What is not. It does not hold for each kernel by itself, only on average over kernels; nor for samples that a
committee has chosen, outside the sampled range, or after the machine has changed.

For networks a whole network is drawn, and timed at several batches: its residuals hang together. They are
weighted so that each network counts once (Lee, Barber and Willett: hierarchical conformal prediction), and
the guarantee is for a random batch of a network that is exchangeable with those of the calibration.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from juggler.arrays import Floats
from juggler.errors import ConfigError
from juggler.nouns import Noun

LEVEL = 0.9
POOLED = "*"  # the quantile of all families together
WIDEST = math.log(1e3)  # an interval without enough samples: a thousand times up and down


def scores(measured_ms: npt.ArrayLike, predicted_ms: npt.ArrayLike) -> Floats:
    """Return how far predictions lie off, `[n]`: |log(measured / predicted)|.

    Raises:
        ConfigError: a duration that is not finite or not above 0, or unequal lengths.
    """
    measured, predicted = (np.asarray(value, np.float64) for value in (measured_ms, predicted_ms))
    both = np.concatenate([measured.ravel(), predicted.ravel()])
    if measured.shape != predicted.shape or not (np.isfinite(both) & (both > 0.0)).all():
        fault = f"{measured.shape} and {predicted.shape}, {int((~(both > 0.0)).sum())} of them not above 0"
        raise ConfigError("score predictions", fault, "Give one latency above 0 ms of each")
    residuals: Floats = np.abs(np.log(measured / predicted))
    return residuals


def quantile(values: npt.ArrayLike, level: float = LEVEL, groups: Sequence[Any] | None = None) -> float:
    """Return the finite-sample quantile: the smallest score that covers a new one at this level.

    It is the `ceil((n + 1) level)`-th smallest score, and infinite where that is beyond the n-th.

    Args:
        values: scores, `[n]`.
        level: between 0 and 1.
        groups: whose each score is; each group has one vote, shared among its scores. None: each has one.

    Raises:
        ConfigError: a level outside (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise ConfigError("take a conformal quantile", f"a level of {level}", "Give one between 0 and 1")
    numbers = np.asarray(values, np.float64)
    if numbers.size == 0:
        return math.inf
    _, index, counts = np.unique(
        np.arange(numbers.size) if groups is None else np.asarray(groups),
        return_inverse=True,
        return_counts=True,
    )
    # The new one is a group as well, with its vote at infinity.
    votes = 1.0 / (counts[index] * (counts.size + 1))
    order = np.argsort(numbers, kind="stable")
    reached = np.cumsum(votes[order]) >= level - 1e-12
    return float(numbers[order][np.argmax(reached)]) if reached.any() else math.inf


@dataclass(frozen=True)
class Intervals(Noun):
    """What to multiply and divide a prediction by, family by family.

    Attributes:
        level: share of new samples that are to be covered.
        half_widths: quantiles of |log(measured / predicted)| by family, and under `*` of all together.
        counts: calibration samples by family; groups where there are any.
        scaled: whether scores were divided by an estimate of how hard each sample is.
    """

    level: float
    half_widths: dict[str, float]
    counts: dict[str, int]
    scaled: bool = False

    @classmethod
    def fit(
        cls,
        families: Sequence[str],
        measured_ms: npt.ArrayLike,
        predicted_ms: npt.ArrayLike,
        *,
        level: float = LEVEL,
        groups: Sequence[Any] | None = None,
        difficulty: npt.ArrayLike | None = None,
    ) -> Intervals:
        """Calibrate on samples that no learner has seen.

        Args:
            families: of each sample, `[n]`.
            measured_ms: what was measured, `[n]`.
            predicted_ms: what was predicted, `[n]`.
            level: share of new samples that are to be covered.
            groups: whose each sample is, such as its network's name; see `quantile`.
            difficulty: an estimate above 0 of how hard each is, made without looking at what was measured;
                intervals then widen with it.

        Raises:
            ConfigError: a duration or a difficulty that is not above 0.
        """
        distances = scores(measured_ms, predicted_ms)
        if difficulty is not None:
            distances = distances / _above_0(difficulty)
        names = np.asarray(families, str)
        votes = None if groups is None else np.asarray(groups)
        half_widths, counts = {}, {}
        for family in (POOLED, *sorted({str(family) for family in families})):
            members = np.ones(distances.size, bool) if family == POOLED else names == family
            counts[family] = int(members.sum()) if votes is None else len(set(votes[members]))
            half_widths[family] = quantile(
                distances[members], level, None if votes is None else votes[members]
            )
        finite = {name: min(width, WIDEST) for name, width in half_widths.items()}
        enough = {n: w for n, w in finite.items() if math.isfinite(half_widths[n]) or n == POOLED}
        return cls(level, enough, counts, difficulty is not None)

    def half_width(self, family: str) -> float:
        """Return how far the interval of a family goes either way, in logs; that of all where it has none."""
        return self.half_widths.get(family, self.half_widths.get(POOLED, WIDEST))

    def of(self, family: str, latency_ms: float, difficulty: float = 1.0) -> tuple[float, float]:
        """Return the ends of the interval around a prediction, in milliseconds."""
        times = math.exp(min(self.half_width(family) * (difficulty if self.scaled else 1.0), WIDEST))
        return latency_ms / times, latency_ms * times

    @property
    def weak(self) -> tuple[str, ...]:
        """Return the families whose samples are too few for an interval of their own."""
        return tuple(name for name in self.counts if name not in self.half_widths)


def covered(measured_ms: npt.ArrayLike, low_ms: npt.ArrayLike, high_ms: npt.ArrayLike) -> float:
    """Return the share of measured durations within their intervals."""
    measured = np.asarray(measured_ms, np.float64)
    return float(np.mean((np.asarray(low_ms) <= measured) & (measured <= np.asarray(high_ms))))


def binomial_interval(hits: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of a share.

    Raises:
        ConfigError: no trial, or more hits than trials.
    """
    if trials < 1 or not 0 <= hits <= trials:
        raise ConfigError("bound a share", f"{hits} of {trials}", "Give one trial or more")
    from scipy.stats import beta  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy

    tail = (1.0 - level) / 2.0
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(beta.ppf(1.0 - tail, hits + 1, trials - hits))
    return low, high


def _above_0(values: npt.ArrayLike) -> Floats:
    numbers = np.asarray(values, np.float64)
    if not (np.isfinite(numbers) & (numbers > 0.0)).all():
        raise ConfigError("scale intervals", "a difficulty that is not above 0", "Give numbers above 0")
    return numbers
