"""Fit the code of one feature on its training values: knots for a number, a table for a word.

A number becomes a piecewise-linear code (Gorishniy et al. 2022, section 3.2.1): counts after log1p over knots
at 0 and at quantiles of what is above, rates over fixed knots. A word becomes a row of a table, with one
channel for each word of the vocabulary, over as many cells as that takes.

As fine as that so that a network can follow a teacher whose trees split between near values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from juggler.data.records import Column
from juggler.nouns import Noun

CHANNELS = 16
_RATE_KNOTS = (0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1)


@dataclass(frozen=True)
class Code(Noun):
    """How one feature fills its cell.

    Attributes:
        feature: the column's name.
        kind: `count`, `rate` or `word`.
        neutral: the value of a median normal training record: a number, or a word's code.
        knots: of a number: where its channels begin and end, `[channels + 1]`, see `knots_of`.
        table: of a word: `[words + 1, cells * channels]`; the last row is for unknown words.
    """

    feature: str
    kind: str
    neutral: float
    knots: tuple[float, ...] = ()
    table: tuple[tuple[float, ...], ...] = ()

    @property
    def cells(self) -> int:
        """Return how many cells the feature fills."""
        return max(1, len(self.table[0]) // CHANNELS) if self.table else 1


def neutral_image(code: Code, channels: int) -> NDArray[np.float32]:
    """Return the code of the neutral value, `[cells, channels]`, computed as `encode` computes it."""
    if code.table:
        return np.array(code.table[int(code.neutral)], dtype=np.float32).reshape(-1, channels)
    value = np.float32(np.log1p(code.neutral) if code.kind == "count" else code.neutral)
    low, slope = lines_of(code)
    image: NDArray[np.float32] = np.clip((value - low) * slope, 0, 1, dtype=np.float32)
    return image[None]


def lines_of(code: Code) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return where each channel of a number begins, and its slope; 0 for a channel of no width."""
    knots = np.array(code.knots)
    width = np.diff(knots)
    slope = np.divide(1, width, out=np.zeros_like(width), where=width > 0)
    return knots[:-1].astype(np.float32), slope.astype(np.float32)


def fit_code(column: Column, values: NDArray[Any], classes: NDArray[np.int64]) -> Code:
    """Fit the code of one column; its `neutral` is the median, or commonest, value of normal records."""
    normal = values[classes == 0]
    if column.kind == "categorical":
        return Code(column.name, "word", _commonest(normal), table=_table(column))
    if column.rate:
        return Code(column.name, "rate", float(np.median(normal)), knots=tuple(map(float, _RATE_KNOTS)))
    knots = tuple(float(k) for k in knots_of(np.log1p(values)))
    return Code(column.name, "count", float(np.median(normal)), knots=knots)


def knots_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `[channels + 1]` knots that never fall: 0, then quantiles of what is above 0.

    Half of them are quantiles of the values and half of the distinct values: the former are fine where
    records are many, the latter where few are spread wide. Knots that would lie closer than a thousandth of
    the range are one, for a steeper code would amplify rounding. Where there are too few values the last
    knot is repeated: such a channel is always 0, because weights that training never used must not speak
    later.
    """
    above = values[values > 0]
    if not len(above):
        return np.zeros(CHANNELS + 1)
    knots = [0.0]
    shares = np.linspace(0, 1, CHANNELS // 2 + 1)
    many, wide = np.quantile(above, shares[:-1]), np.quantile(np.unique(above), shares[1:])
    for quantile in np.sort(np.concatenate([many, wide])):
        if quantile - knots[-1] >= above.max() / 1000:
            knots.append(float(quantile))
    return np.array(knots + [knots[-1]] * (CHANNELS + 1 - len(knots)))


def _table(column: Column) -> tuple[tuple[float, ...], ...]:
    """Return a row for each word, one-hot, and one of zeros for unknown words."""
    words = len(column.vocabulary)
    table = np.eye(words + 1, -(-words // CHANNELS) * CHANNELS)
    table[words] = 0
    return tuple(tuple(float(value) for value in row) for row in table)


def _commonest(codes: NDArray[Any]) -> float:
    values, counts = np.unique(codes, return_counts=True)
    return float(values[counts.argmax()])
