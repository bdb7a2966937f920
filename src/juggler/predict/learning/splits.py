"""Which rows learn and which are held out: at random, or whole networks, or whole batch sizes.

A random split says how well a learner fills the gaps of a campaign; whole networks and whole batch sizes say
how well it does on what nobody sampled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from juggler.errors import ConfigError

Rows = npt.NDArray[np.int64]


class RowSplit(NamedTuple):
    """Numbers of the rows that learn and of those held out."""

    train: Rows
    test: Rows


def random_split(rows: int, *, share: float = 0.8, seed: int = 0) -> RowSplit:
    """Split rows at random; `share` of them learn.

    Raises:
        ConfigError: a share outside (0, 1), or so few rows that a side would be empty.
    """
    train_count = round(rows * share)
    if not 0.0 < share < 1.0 or not 0 < train_count < rows:
        problem = f"{rows} rows and a share of {share:g}"
        raise ConfigError("split rows at random", problem, "Give more rows, and a share between 0 and 1")
    order = np.random.default_rng(seed).permutation(rows).astype(np.int64)
    return RowSplit(order[:train_count], order[train_count:])


def group_split(groups: npt.ArrayLike, *, share: float = 0.8, seed: int = 0) -> RowSplit:
    """Hold out whole groups, such as the layers of one network or of one batch size.

    Args:
        groups: the group of each row, `[n]`.
        share: of the groups that learn.
        seed: of the draw.

    Raises:
        ConfigError: fewer than two groups, or a share outside (0, 1).
    """
    of_row = np.asarray(groups)
    names = np.unique(of_row)
    if len(names) < 2 or not 0.0 < share < 1.0:
        problem = f"{len(names)} groups and a share of {share:g}"
        raise ConfigError("hold out whole groups", problem, "Give two groups or more, and a share in (0, 1)")
    held = max(1, min(len(names) - 1, round(len(names) * (1.0 - share))))
    out = np.isin(of_row, np.random.default_rng(seed).permutation(names)[:held])
    return RowSplit(np.flatnonzero(~out).astype(np.int64), np.flatnonzero(out).astype(np.int64))


def folds(rows: int, count: int, *, seed: int = 0) -> tuple[RowSplit, ...]:
    """Return `count` splits in which every row is held out once.

    Raises:
        ConfigError: fewer than two folds, or fewer rows than folds.
    """
    if not 2 <= count <= rows:
        raise ConfigError("make folds", f"{count} folds of {rows} rows", "Give 2 folds up to one a row")
    parts = np.array_split(np.random.default_rng(seed).permutation(rows).astype(np.int64), count)
    return tuple(
        RowSplit(np.concatenate([p for j, p in enumerate(parts) if j != i]), part)
        for i, part in enumerate(parts)
    )
