"""Sums over runs of packets, exact and mergeable: a flow's numbers do not depend on how a capture was cut.

A run is what one side of one flow sends between two places where the flow may be cut. All numbers are whole,
so that adding them in another order gives the same to the bit; a square, which would not fit, is added in
halves of 32 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from juggler.capture.frames import Ints

HALF = 32
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Spread:
    """Number, sum, squares, least and most of a quantity over runs, `[runs]` each.

    Attributes:
        squares_low: the sum of the lower 32 bits of all squares.
        squares_high: the sum of the upper ones.
        least: `NEVER` where there is none.
        most: -1 where there is none.
    """

    count: Ints
    total: Ints
    squares_low: Ints
    squares_high: Ints
    least: Ints
    most: Ints


def spread(values: Ints, starts: Ints, counted: NDArray[np.bool_] | None = None) -> Spread:
    """Return the spread of values over runs that begin at `starts` and cover all of them.

    Args:
        values: `[n]`, at least 0, below 2^31.
        starts: `[runs]`, ascending, from 0.
        counted: `[n]`, which values count; all where it is left out.
    """
    if counted is None:
        count = np.diff(starts, append=len(values))
        least = np.minimum.reduceat(values, starts)
        most = np.maximum.reduceat(values, starts)
    else:
        count = np.add.reduceat(counted.astype(np.int64), starts)
        least = np.minimum.reduceat(np.where(counted, values, NEVER), starts)
        most = np.maximum.reduceat(np.where(counted, values, -1), starts)
        values = np.where(counted, values, 0)
    squares = values.astype(np.uint64) ** np.uint64(2)
    low = (squares & np.uint64(0xFFFFFFFF)).astype(np.int64)
    high = (squares >> np.uint64(HALF)).astype(np.int64)
    return Spread(
        count=count,
        total=np.add.reduceat(values, starts),
        squares_low=np.add.reduceat(low, starts),
        squares_high=np.add.reduceat(high, starts),
        least=least,
        most=most,
    )


def mean_and_deviation(
    count: Ints, total: Ints, squares_low: Ints, squares_high: Ints
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and sample standard deviation; 0 where there are too few values.

    The variance is taken from whole numbers, `n * sum(x^2) - sum(x)^2`, which does not cancel as floats do.
    """
    count = count.astype(np.int64)
    mean = np.divide(total, count, out=np.zeros(len(count)), where=count > 0)
    deviation = np.zeros(len(count))
    squares = squares_high.astype(np.float64) * 2.0**HALF + squares_low
    several = count > 1
    # Exact in 64 bits as long as the products are below 2^63, which only long flows leave.
    small = several & (squares * count < 2.0**62)
    n, s = count[small], total[small]
    sum_of_squares = (squares_high[small] << HALF) + squares_low[small]
    deviation[small] = np.sqrt((n * sum_of_squares - s * s) / (n * (n - 1)))
    for row in np.flatnonzero(several & ~small).tolist():
        size, sum_of = int(count[row]), int(total[row])
        of_squares = (int(squares_high[row]) << HALF) + int(squares_low[row])
        deviation[row] = ((size * of_squares - sum_of * sum_of) / (size * (size - 1))) ** 0.5
    return mean, deviation
