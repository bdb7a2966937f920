"""Count what a kernel moves, and what it does to each number that it writes.

Bytes are counted by the level of memory that they come from: what goes beyond one level is charged at the
next, in steps of twice the working set, since caches of many cores are shared and have no sharp edge. Prices
are fitted, so levels need not be those of the processor at hand.
"""

from __future__ import annotations

import numpy as np

from juggler.arrays import Floats
from juggler.predict.kernels.sizes import WINDOWED, WORD_BYTES
from juggler.predict.kernels.spec import ACTIVATIONS
from juggler.predict.kernels.table import KernelTable

Columns = dict[str, Floats]

BLOCK = 16.0  # channels that the blocked layout holds together; what is missing is filled up
FIRST_BYTES, PRIVATE_BYTES = 48e3, 2e6  # caches of one core
SHARED_BYTES = (1e6, 4e6, 10e6, 20e6, 40e6)  # from there on, a unit cost each
FAR_BYTES = 20e6
MOVED = "moved_"  # and MB: bytes of a kernel that touches more; they pay this on top of what is nearer


def constant(table: KernelTable) -> Columns:
    """Return what each call costs once."""
    return {"call": np.ones(len(table))}


def by_level(name: str, moved: Floats, working_set: Floats) -> Columns:
    """Part bytes that are read again and again by where they lie; in a first cache they are free.

    Args:
        name: of the columns, which end in `_private` and `_shared`; weights that no cache holds pay besides.
        moved: bytes `[n]`.
        working_set: in bytes `[n]`.
    """
    out_of_first = np.clip(working_set / FIRST_BYTES - 0.5, 0.0, 1.0)
    shared = np.clip((working_set / PRIVATE_BYTES - 0.6) / 1.2, 0.0, 1.0)
    counts = {f"{name}_private": moved * out_of_first * (1.0 - shared), f"{name}_shared": moved * shared}
    return counts | ({"weights_far": moved * beyond(working_set, FAR_BYTES)} if name == "weights" else {})


def traffic(table: KernelTable, *, is_filled: tuple[bool, bool] = (False, False)) -> Columns:
    """Return the bytes of input, output and weights, each once, by what the whole kernel touches.

    Args:
        table: kernels of one algorithm.
        is_filled: whether input and output are in the blocked layout, their channels filled up to blocks.
    """
    summed, written = table["adds"] * table["output_bytes"], output_bytes(table, is_filled=is_filled[1])
    read = (table["input_bytes"] - summed) * _touched(table, "height")
    if is_filled[0]:
        read = read * _touched(table, "width") * _filling(table["in_channels"])
        summed = table["adds"] * written
    read = read + summed
    moved = read + written
    touched = moved + table["weight_bytes"]
    counts = {"input": read, "output": written}
    counts["output_beyond"] = written * beyond(touched, SHARED_BYTES[0])
    counts |= {f"{MOVED}{limit / 1e6:g}": moved * beyond(touched, limit) for limit in SHARED_BYTES}
    counts["weights_once_far"] = table["weight_bytes"] * beyond(touched, FAR_BYTES)
    return counts


def cold(table: KernelTable) -> Floats:
    """Return the bytes of weights that come from memory, wherever they lie when they are read again."""
    bytes_: Floats = table["cold"] * table["weight_bytes"]
    return bytes_


def output_bytes(table: KernelTable, *, is_filled: bool) -> Floats:
    """Return the bytes written, where it is so those of channels that fill up a block among them."""
    return table["output_bytes"] * (_filling(table["out_channels"]) if is_filled else 1.0)


def finish(table: KernelTable, *, is_filled: tuple[bool, bool] = (False, False)) -> Columns:
    """Return traffic, weights out of the caches, and the passes over what was written; see `traffic`."""
    words = output_bytes(table, is_filled=is_filled[1]) / WORD_BYTES
    counts = traffic(table, is_filled=is_filled)
    counts |= {"cold": cold(table), "cold_call": table["cold"]}
    counts["cold_output"] = table["cold"] * table["output_bytes"]
    counts |= {name: words * (table["activation"] == name) for name in ACTIVATIONS}
    return counts | {"sum": words * table["adds"]}


def _touched(table: KernelTable, side: str) -> Floats:
    """Return which share of a side any window touches: steps may be longer than windows.

    In the blocked layout a position is a line of memory, in the plain one a line holds many of a row's.
    """
    if table.family not in WINDOWED:
        return np.ones(len(table))
    share: Floats = table[f"out_{side}"] * table[f"kernel_{side}"] / table[side]
    return np.minimum(share, 1.0)


def _filling(channels: Floats) -> Floats:
    filled: Floats = np.ceil(channels / BLOCK) * BLOCK / channels
    return filled


def beyond(touched: Floats, limit: float) -> Floats:
    """Return which share lies beyond a limit: 0 up to it, 1 from twice as much on."""
    share: Floats = np.clip(np.log2(np.maximum(touched, 1.0) / limit), 0.0, 1.0)
    return share
