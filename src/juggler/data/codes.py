"""Fit the code of one feature on its training values: knots for a number, a table for a word.

A number becomes a piecewise-linear code (Gorishniy et al. 2022, section 3.2.1): counts after log1p over knots
at 0 and at quantiles of what is above, rates over fixed knots. A word becomes a row of a table: one channel
for each group of words that mean alike, where the schema has groups, otherwise one for each word.

Coarse codes on purpose: what was chosen on held-out attack types is what serves types never met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from juggler.data.records import Column
from juggler.nouns import Noun

CHANNELS = 8
_RATE_KNOTS = (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0)


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
        return Code(column.name, "rate", float(np.median(normal)), knots=_RATE_KNOTS)
    knots = tuple(float(k) for k in knots_of(np.log1p(values)))
    return Code(column.name, "count", float(np.median(normal)), knots=knots)


def knots_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `[channels + 1]` knots that never fall: 0, then quantiles of the values above 0.

    Values that lie closer than a thousandth of the range share a knot, for a steeper code would amplify
    rounding. Where there are too few values the last knot is repeated: such a channel is always 0, because
    weights that training never used must not speak later.
    """
    above = values[values > 0]
    if not len(above):
        return np.zeros(CHANNELS + 1)
    knots = [0.0]
    for quantile in np.quantile(above, np.linspace(0, 1, CHANNELS + 1)[1:]):
        if quantile - knots[-1] >= above.max() / 1000:
            knots.append(float(quantile))
    return np.array(knots + [knots[-1]] * (CHANNELS + 1 - len(knots)))


def _table(column: Column) -> tuple[tuple[float, ...], ...]:
    """Return a row for each word and one for unknown words, one-hot by group.

    Words of no group share one more channel, and so do unknown ones. Without groups each word has a
    channel of its own, and unknown words have none.
    """
    words = column.vocabulary
    groups = column.groups or tuple((word,) for word in words)
    channel = {word: i for i, group in enumerate(groups) for word in group}
    used = len(groups) + bool(column.groups)
    table = np.zeros((len(words) + 1, -(-used // CHANNELS) * CHANNELS))
    for row, word in enumerate([*words, None]):
        if column.groups or word is not None:
            table[row, channel.get(word, len(groups)) if word is not None else len(groups)] = 1
    return tuple(tuple(float(value) for value in row) for row in table)


def _commonest(codes: NDArray[Any]) -> float:
    found, counts = np.unique(codes, return_counts=True)
    return float(found[counts.argmax()])
