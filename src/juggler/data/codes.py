"""Fit the code of one feature on its training values: knots for a number, a table for a word.

A number becomes a piecewise-linear code over knots from the training values (Gorishniy et al. 2022, section
3.2.1), counts after log1p and rates as they are; a word becomes a row of a table: one-hot where the
vocabulary fits into the channels, and otherwise how much likelier each class is with it in training.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from juggler.data.records import Column
from juggler.nouns import Noun

CHANNELS = 12
_SMOOTHING = 20.0  # records that a word must have before its own frequencies outweigh the prior
_LOG_ODDS_SCALE = 4.0


@dataclass(frozen=True)
class Code(Noun):
    """How one feature fills its cell.

    Attributes:
        feature: the column's name.
        kind: `count`, `rate`, `one_hot` or `likelihood`.
        neutral: the value of a median normal training record: a number, or a word's code.
        knots: of a number: where its channels begin and end, `[channels + 1]`, see `knots_of`.
        table: of a word: `[words + 1, channels]`; the last row, of zeros, is for unknown words.
    """

    feature: str
    kind: str
    neutral: float
    knots: tuple[float, ...] = ()
    table: tuple[tuple[float, ...], ...] = ()


def neutral_image(code: Code, channels: int) -> NDArray[np.float32]:
    """Return the code of the neutral value, `[channels]`, computed as `encode` computes it."""
    if code.table:
        return np.array(code.table[int(code.neutral)], dtype=np.float32)
    value = np.float32(np.log1p(code.neutral) if code.kind == "count" else code.neutral)
    low, slope = lines_of(code)
    image: NDArray[np.float32] = np.clip((value - low) * slope, 0, 1, dtype=np.float32)
    return image


def lines_of(code: Code) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return where each channel of a number begins, and its slope; 0 for a channel of no width."""
    knots = np.array(code.knots)
    width = np.diff(knots)
    slope = np.divide(1, width, out=np.zeros_like(width), where=width > 0)
    return knots[:-1].astype(np.float32), slope.astype(np.float32)


def fit_code(column: Column, values: NDArray[Any], classes: NDArray[np.int64]) -> Code:
    """Fit the code of one column, by its kind."""
    if column.kind == "numeric":
        kind = "rate" if column.rate else "count"
    else:
        kind = "one_hot" if len(column.vocabulary) <= CHANNELS else "likelihood"
    return _CODES[kind](column, kind, values, classes)


def _fit_number(column: Column, kind: str, values: NDArray[Any], classes: NDArray[np.int64]) -> Code:
    scaled = np.log1p(values) if kind == "count" else values
    neutral = float(np.median(values[classes == 0]))
    return Code(column.name, kind, neutral, knots=tuple(float(k) for k in knots_of(scaled)))


def knots_of(values: NDArray[np.float64], bins: int = CHANNELS) -> NDArray[np.float64]:
    """Return `bins + 1` knots that never fall, from the values: even steps, quantiles, and in between.

    Most records share a few values, so quantiles alone would leave no knot where a rare attack lies; what is
    left over halves the interval with the most distinct values. Where there are too few values the last knot
    is repeated: such a channel is always 0, for weights that training never used must not speak later.
    """
    distinct = _apart(np.unique(values))
    half = bins // 2
    wanted = [np.linspace(distinct[0], distinct[-1], half + 1), np.quantile(values, np.linspace(0, 1, half))]
    at = {int(np.abs(distinct - knot).argmin()) for knot in np.concatenate(wanted)}
    while len(at) <= bins:
        gap, left = max((b - a, a) for a, b in itertools.pairwise([*sorted(at), max(at) + 1]))
        if gap < 2:
            break
        at.add(left + gap // 2)
    knots = distinct[sorted(at)]
    return np.append(knots, np.repeat(knots[-1], bins + 1 - len(knots)))


def _apart(distinct: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop values that lie closer than a thousandth of the range: a steeper code would amplify rounding."""
    step = (distinct[-1] - distinct[0]) / 1000
    kept = [distinct[0]]
    for value in distinct[1:]:
        if value - kept[-1] >= step:
            kept.append(value)
    if len(kept) > 1:
        kept[-1] = distinct[-1]
    return np.array(kept)


def _fit_one_hot(column: Column, kind: str, values: NDArray[Any], classes: NDArray[np.int64]) -> Code:
    words = len(column.vocabulary)
    table = np.eye(words + 1, CHANNELS)
    table[-1] = 0
    return Code(column.name, kind, _commonest(values[classes == 0]), table=_rows(table))


def _fit_likelihood(column: Column, kind: str, values: NDArray[Any], classes: NDArray[np.int64]) -> Code:
    """Give each word the smoothed log-odds of each class and its log frequency; an unknown word has zeros."""
    words, k = len(column.vocabulary), min(int(classes.max()) + 1, CHANNELS - 1)
    counts = np.zeros((words + 1, k))
    np.add.at(counts, (values.astype(np.intp), np.minimum(classes, k - 1)), 1)
    prior = (counts.sum(axis=0) + 1) / (counts.sum() + k)
    share = (counts + _SMOOTHING * prior) / (counts.sum(axis=1, keepdims=True) + _SMOOTHING)
    table = np.zeros((words + 1, CHANNELS))
    table[:, :k] = np.clip(np.log(share / prior) / _LOG_ODDS_SCALE, -1, 1)
    table[:, CHANNELS - 1] = np.log1p(counts.sum(axis=1)) / np.log1p(counts.sum())
    table[-1] = 0
    return Code(column.name, kind, _commonest(values[classes == 0]), table=_rows(table))


def _commonest(codes: NDArray[Any]) -> float:
    found, counts = np.unique(codes, return_counts=True)
    return float(found[counts.argmax()])


def _rows(table: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in table)


_CODES: dict[str, Callable[[Column, str, NDArray[Any], NDArray[np.int64]], Code]] = {
    "count": _fit_number,
    "rate": _fit_number,
    "one_hot": _fit_one_hot,
    "likelihood": _fit_likelihood,
}
