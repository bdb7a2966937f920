"""Share inputs out between making a graph and checking it, so that none does both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from juggler.errors import ConfigError
from juggler.runtime.session import Array

ASKED = "share the inputs out"
HELD_OUT = 4  # every fourth group of inputs is held out
Pieces = list[tuple[Array, ...]]


def share_out(arrays: tuple[Array, ...], batch: int | None) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Return the rows to work with and those held out to check: every fourth, the last where there are fewer.

    Args:
        arrays: one an input of the network, of equal rows.
        batch: where the network takes so many rows at a time only, whole batches are held out.

    Raises:
        ConfigError: too few rows for both.
    """
    groups = np.arange(len(arrays[0])) // (batch or 1)
    held = groups % HELD_OUT == HELD_OUT - 1
    if not held.any():
        held = groups == groups[-1]
    if held.all():
        at_a_time = f", and the graph takes {batch} at a time" if batch else ""
        raise ConfigError(
            ASKED,
            f"{len(groups)} inputs{at_a_time}",
            "Give more, so that some make the graph and others check it: a hundred or so are usual",
        )
    return tuple(array[~held] for array in arrays), tuple(array[held] for array in arrays)


def check_apart(arrays: Sequence[Array], check: Sequence[Array]) -> None:
    """Do nothing where some row to check is none of the others.

    Raises:
        ConfigError: all of them are.
    """
    if _rows(check) <= _rows(arrays):
        raise ConfigError(
            ASKED,
            "the inputs to check with are those to work with",
            "Give others, or leave them out: some of the inputs are held out then",
        )


def in_pieces(arrays: tuple[Array, ...], batch: int | None, piece: int) -> Pieces:
    """Cut arrays into pieces that a network takes; of a fixed batch, rows left over are dropped.

    Args:
        arrays: one an input of the network, of equal rows.
        batch: how many rows the network takes; None is any number.
        piece: how many it is given where it takes any.
    """
    size, rows = batch or piece, len(arrays[0])
    usable = rows - rows % size if batch and rows >= size else rows
    return [tuple(array[at : at + size] for array in arrays) for at in range(0, usable, size)]


def _rows(arrays: Sequence[Array]) -> set[bytes]:
    """Return a digest of each row, all inputs together."""
    return {
        hashlib.sha256(b"".join(array[row].tobytes() for array in arrays)).digest()
        for row in range(len(arrays[0]))
    }
