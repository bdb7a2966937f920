"""What many seeds say together: mean and standard deviation, and the gap of two with its interval."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t as student_t  # type: ignore[import-untyped]

from juggler.nouns import Noun

PARITY_POINTS = -0.3
"""Parity is claimed only where the lower end of the gap's interval is no lower."""


def seeds_told(counts: Collection[int]) -> str:
    """Return how many seeds there are in words, from the fewest to the most of some variants."""
    return f"{' to '.join(map(str, sorted({min(counts), max(counts)})))} seeds"


@dataclass(frozen=True)
class Spread(Noun):
    """A figure over the seeds.

    Attributes:
        mean: over the seeds.
        sd: their standard deviation (n - 1); None for one seed.
        n: how many there are.
        values: each, in the order of the seeds.
    """

    mean: float
    sd: float | None
    n: int
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise the values, at least one."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values), tuple(values))


@dataclass(frozen=True)
class Gap(Noun):
    """How much better one variant is than another, in points of accuracy, over the seeds that both have.

    Attributes:
        mean: of the differences, seed by seed.
        low: lower end of the 95 % interval; None with fewer than two seeds.
        high: upper end.
        sd: standard deviation of the differences.
        n: seeds.
    """

    mean: float
    low: float | None
    high: float | None
    sd: float | None
    n: int

    @classmethod
    def between(cls, ours: Mapping[int, float], theirs: Mapping[int, float]) -> Gap | None:
        """Take the gap of accuracies by seed, as fractions; None where no seed is in both.

        The interval is Student's t over the paired differences.
        """
        seeds = sorted(set(ours) & set(theirs))
        if not seeds:
            return None
        found = Spread.of([100 * (ours[seed] - theirs[seed]) for seed in seeds])
        if found.sd is None:
            return cls(found.mean, None, None, None, found.n)
        half = float(student_t.ppf(0.975, found.n - 1)) * found.sd / math.sqrt(found.n)
        return cls(found.mean, found.mean - half, found.mean + half, found.sd, found.n)

    @property
    def is_parity(self) -> bool:
        """Say whether it may be claimed that nothing is given away."""
        return self.low is not None and self.low >= PARITY_POINTS
