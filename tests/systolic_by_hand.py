"""A systolic array moved cycle by cycle: registers, words that enter at its edges, results that leave it.

Written from the dataflows alone, without the closed form: each processing element sees its neighbours'
registers of the cycle before. Words of padding move as zeros that are not counted as reads.
"""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-incomplete-defs=False
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Seen:
    """What was seen while a product ran: its result, cycles, and words over the array's edges."""

    result: np.ndarray
    cycles: int = 0
    folds: int = 0
    used: int = 0
    reads: dict[str, int] = field(default_factory=lambda: {"ifmap": 0, "filter": 0, "ofmap": 0})
    writes: int = 0


def run(left: np.ndarray, right: np.ndarray, rows: int, columns: int, dataflow: str) -> Seen:
    """Multiply two matrices of whole numbers on an array, fold by fold."""
    seen = Seen(np.zeros((left.shape[0], right.shape[1]), np.int64))
    if dataflow.startswith("output"):
        for top in range(0, left.shape[0], rows):
            for edge in range(0, right.shape[1], columns):
                _output_fold(seen, left, right, (top, edge), (rows, columns), drained="drained" in dataflow)
    elif dataflow == "weight_stationary":
        _stationary(seen, left, right, (rows, columns), ("ifmap", "filter"), seen.result)
    else:
        # (left x right)^T = right^T x left^T: the input stays where the weights were.
        _stationary(seen, right.T, left.T, (rows, columns), ("filter", "ifmap"), seen.result.T)
    return seen


def _output_fold(seen, left, right, corner, shape, *, drained):
    (top, edge), (rows, columns) = corner, shape
    a, b = left[top : top + rows], right[:, edge : edge + columns]
    depth = left.shape[1]
    moving_right, moving_down = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    sums, present = np.zeros(shape, np.int64), np.zeros(shape, bool)
    met = cycle = 0
    while met < depth:  # the last element, in the corner, has met every pair of words, padding included
        new_right, new_down = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        new_right[:, 1:], new_down[1:] = moving_right[:, :-1], moving_down[:-1]
        present[:, 1:] = present[:, :-1].copy()
        for row in range(rows):
            present[row, 0] = 0 <= cycle - row < depth
            if 0 <= cycle - row < depth and row < a.shape[0]:
                new_right[row, 0] = a[row, cycle - row]
                seen.reads["ifmap"] += 1
        for column in range(columns):
            if 0 <= cycle - column < depth and column < b.shape[1]:
                new_down[0, column] = b[cycle - column, column]
                seen.reads["filter"] += 1
        moving_right, moving_down = new_right, new_down
        sums += moving_right * moving_down
        met += int(present[-1, -1])
        cycle += 1
    out = sums.copy()
    if drained:
        leaving = []
        for _ in range(rows):  # the lowest row leaves, the others move down
            leaving.append(sums[-1].copy())
            sums[1:] = sums[:-1].copy()
            cycle += 1
        out = np.array(leaving[::-1])
    seen.result[top : top + rows, edge : edge + columns] = out[: a.shape[0], : b.shape[1]]
    seen.writes += a.shape[0] * b.shape[1]
    _count(seen, cycle, a.shape[0] * b.shape[1])


def _stationary(seen, streamed, kept, shape, names, result):  # noqa: PLR0917
    """Keep `kept` [K, S] in the array fold by fold and stream the rows of `streamed` [T, K] through it."""
    rows, columns = shape
    for top in range(0, kept.shape[0], rows):
        for edge in range(0, kept.shape[1], columns):
            part = kept[top : top + rows, edge : edge + columns]
            held = np.zeros(shape, np.int64)
            cycle = 0
            for line in range(rows):  # the lowest row enters first and moves down to its place
                held[1:] = held[:-1].copy()
                held[0] = 0
                place = rows - 1 - line
                if place < part.shape[0]:
                    held[0, : part.shape[1]] = part[place]
                cycle += 1
            seen.reads[names[1]] += part.size
            out, spent = _stream(seen, streamed[:, top : top + rows], held, names[0])
            had = result[:, edge : edge + columns]
            if top:
                seen.reads["ofmap"] += had.size
            had += out[:, : part.shape[1]]
            seen.writes += had.size
            _count(seen, cycle + spent, part.size)


def _stream(seen, words, held, name):
    """Let words enter on the left, row by row one cycle later, and sums leave at the bottom."""
    rows, columns = held.shape
    steps = words.shape[0]
    moving_right, sums = np.zeros(held.shape, np.int64), np.zeros(held.shape, np.int64)
    present, arrived = np.zeros(held.shape, bool), [0] * columns
    out = np.zeros((steps, columns), np.int64)
    cycle = 0
    while min(arrived) < steps:
        new_right, above = np.zeros(held.shape, np.int64), np.zeros(held.shape, np.int64)
        new_right[:, 1:], above[1:] = moving_right[:, :-1], sums[:-1]
        present[:, 1:] = present[:, :-1].copy()
        for row in range(rows):
            present[row, 0] = 0 <= cycle - row < steps
            if present[row, 0] and row < words.shape[1]:
                new_right[row, 0] = words[cycle - row, row]
                seen.reads[name] += 1
        moving_right = new_right
        sums = above + moving_right * held
        for column in range(columns):
            if present[-1, column]:
                out[arrived[column], column] = sums[-1, column]
                arrived[column] += 1
        cycle += 1
    return out, cycle


def _count(seen, cycles, used):
    seen.cycles += cycles
    seen.folds += 1
    seen.used += used
