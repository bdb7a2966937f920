"""Mixtures: records that no one sent, for a teacher to label and a network to learn from.

A mixture takes each column from one of two or three training records, and sometimes from any. The columns
are those of the file, not cells of an image, so a mixture is a record like any other. Between the records
of a training set a network is free; mixtures, labelled by a teacher, say how to fill the space between
(Bucila et al. 2006 label such records to compress an ensemble; the shares here are chosen on held-out types).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from juggler.data import Records, TrainRecords
from juggler.errors import ConfigError

_CLASS_POWER = 0.5  # a class with n records gives n^0.5 of the parents: rare attacks are mixed often
_MOST_FROM_SECOND = 0.5  # the share of columns from the second parent is drawn up to this
_WITH_THIRD, _FROM_THIRD = 0.3, 0.15
_WITH_ANY, _MOST_FROM_ANY = 0.3, 0.2


def mix_records(records: TrainRecords, count: int, seed: int) -> Records:
    """Return `count` unlabelled mixtures of training records, the same for the same seed.

    Raises:
        ConfigError: there are no records to mix, or `count` is negative.
    """
    if count < 0 or not len(records):
        raise ConfigError(
            f"make {count} mixtures", f"{len(records)} records", "Give some, and a count of 0 or more"
        )
    draw = np.random.default_rng([seed, count])
    parents = _parents(records.classes(), count, draw)
    shares = (
        draw.uniform(0, _MOST_FROM_SECOND, count),
        np.where(draw.random(count) < _WITH_THIRD, _FROM_THIRD, 0.0),
        np.where(draw.random(count) < _WITH_ANY, draw.uniform(0, _MOST_FROM_ANY, count), 0.0),
    )
    return Records(
        schema=records.schema,
        numbers=np.stack([_column(values, parents, shares, draw) for values in records.numbers]),
        codes=np.stack([_column(values, parents, shares, draw) for values in records.codes]),
        attacks=None,
        lines=np.arange(1, count + 1),
        source=f"mixtures of {records.source}",
    )


def _parents(classes: NDArray[np.int64], count: int, draw: np.random.Generator) -> NDArray[np.intp]:
    """Draw three records for each mixture, `[3, count]`, the classes evened out."""
    weights = np.bincount(classes)[classes] ** (_CLASS_POWER - 1)
    # By hand rather than with `choice(p=...)`, which checks the sum of the weights against rounding.
    limits = np.cumsum(weights)
    parents: NDArray[np.intp] = np.searchsorted(limits, draw.random((3, count)) * limits[-1], side="right")
    return parents


def _column(
    values: NDArray[Any],
    parents: NDArray[np.intp],
    shares: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    draw: np.random.Generator,
) -> NDArray[Any]:
    """Mix one column, `[n]` -> `[count]`."""
    count = parents.shape[1]
    mixed: NDArray[Any] = values[parents[0]]
    anyone = draw.integers(0, len(values), count)
    for others, share in zip((parents[1], parents[2], anyone), shares, strict=True):
        mixed = np.where(draw.random(count) < share, values[others], mixed)
    return mixed
