"""Systolic arrays: cycles, SRAM accesses, mapping efficiency and utilisation, in closed form.

An array of R x C processing elements holds one factor of a product still (or the result) and lets the others
pass by. What lies on its rows and columns is cut into folds; folds run one after another.

    dataflow            rows S_R   columns S_C   streamed T   cycles a fold
    weight_stationary      K           N             M        2R + C + T - 2
    input_stationary       K           M             N        2R + C + T - 2
    output_stationary      M           N             K         R + C + T - 2
    output_drained         M           N             K        2R + C + T - 2

`output_stationary` is what the code of SCALE-Sim counts: results are there and somebody else fetches them.
`output_drained` is what its paper says (Samajdar et al., ISPASS 2020): they leave through the array's own
rows. The memory is always ready: no stall is modelled. numpy broadcasts the rest: rows and
columns of `[shapes, 1]` against layers of `[layers]` give `[shapes, layers]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from juggler.cost.hardware.gemm import LARGEST, Gemm, Gemms, Whole, product
from juggler.errors import ConfigError

DATAFLOWS = ("weight_stationary", "input_stationary", "output_stationary", "output_drained")
_LAID_OUT = {  # what lies on the rows, on the columns, and what streams
    "weight_stationary": ("k", "n", "m"),
    "input_stationary": ("k", "m", "n"),
    "output_stationary": ("m", "n", "k"),
    "output_drained": ("m", "n", "k"),
}


@dataclass(frozen=True, eq=False)
class ArrayCost:
    """What products cost on arrays; every field has the shape that layers and arrays broadcast to.

    Accesses are words. Partial sums are read back only where a product's K is cut over several folds.

    Attributes:
        macs: multiply-accumulates.
        cycles: from the first word in to the last result; the index of the last cycle is one less.
        folds: times that the array is filled.
        ifmap_reads: words of the left factor read from SRAM.
        filter_reads: words of the right factor.
        ofmap_writes: results and partial sums written.
        ofmap_reads: partial sums read back.
        mapping_efficiency: share of the elements that hold something, averaged over folds.
        utilisation: share of all elements' cycles that compute.
    """

    macs: Whole
    cycles: Whole
    folds: Whole
    ifmap_reads: Whole
    filter_reads: Whole
    ofmap_writes: Whole
    ofmap_reads: Whole
    mapping_efficiency: NDArray[np.float64]
    utilisation: NDArray[np.float64]


def cycles(gemms: Gemm | Gemms, rows: ArrayLike, columns: ArrayLike, dataflow: str) -> Whole:
    """Return the cycles of products on arrays of `rows` x `columns` elements.

    Raises:
        ConfigError: an array without elements, an unknown dataflow, or a result beyond 64 bits.
    """
    high, wide = array_shape(rows, columns)
    on_rows, on_columns, streamed = laid_out(gemms, dataflow)
    count = np.asarray(gemms.count, dtype=np.int64)
    folds = product("folds", _cut(on_rows, high), _cut(on_columns, wide))
    return product("cycles", folds, _fold_cycles(high, wide, streamed, dataflow), count)


def estimate(gemms: Gemm | Gemms, rows: ArrayLike, columns: ArrayLike, dataflow: str) -> ArrayCost:
    """Return all that the model says of products on arrays of `rows` x `columns` elements.

    Raises:
        ConfigError: an array without elements, an unknown dataflow, or a result beyond 64 bits.
    """
    high, wide = array_shape(rows, columns)
    on_rows, on_columns, streamed = laid_out(gemms, dataflow)
    m, k, n, count = (np.asarray(getattr(gemms, name), dtype=np.int64) for name in ("m", "k", "n", "count"))
    down, across = _cut(on_rows, high), _cut(on_columns, wide)
    none = np.zeros(np.broadcast_shapes(down.shape, across.shape), np.int64)
    once = none + 1
    folds = product("folds", down, across, count)
    spent = product("cycles", down, across, _fold_cycles(high, wide, streamed, dataflow), count)
    macs = product("macs", m, k, n, count) * once
    # How often each matrix passes the edge: what stays passes once, what streams once a fold beside it.
    ifmap, filters, sums = {
        "weight_stationary": (across, once, down),
        "input_stationary": (once, across, down),
    }.get(dataflow, (across, down, once))
    elements = high.astype(np.float64) * wide
    return ArrayCost(
        macs=macs,
        cycles=spent,
        folds=folds,
        ifmap_reads=product("reads of inputs", m, k, ifmap, count) + none,
        filter_reads=product("reads of weights", k, n, filters, count) + none,
        ofmap_writes=product("writes of results", m, n, sums, count) + none,
        ofmap_reads=product("reads of partial sums", m, n, sums - 1, count) + none,
        mapping_efficiency=product("elements in use", on_rows, on_columns, count) / (folds * elements),
        utilisation=macs / (spent * elements),
    )


def array_shape(rows: ArrayLike, columns: ArrayLike) -> tuple[Whole, Whole]:
    """Return rows and columns as whole numbers.

    Raises:
        ConfigError: one is below 1, or not a whole number.
    """
    shape = []
    for name, values in (("rows", rows), ("columns", columns)):
        sides = np.asarray(values)
        if not np.issubdtype(sides.dtype, np.integer):
            raise ConfigError("make a systolic array", f"{name} of {sides.dtype}", "Give whole numbers")
        if sides.size and not 1 <= int(sides.min()) <= int(sides.max()) <= LARGEST // 4:
            low, top = int(sides.min()), int(sides.max())
            raise ConfigError(
                "make a systolic array",
                f"{name} from {low} to {top}" if sides.size > 1 else f"{low} {name}",
                "An array has at least 1 row and 1 column",
            )
        shape.append(sides.astype(np.int64))
    return shape[0], shape[1]


def laid_out(gemms: Gemm | Gemms, dataflow: str) -> tuple[Whole, Whole, Whole]:
    """Return what a dataflow lays on rows, lays on columns, and streams.

    Raises:
        ConfigError: there is no such dataflow.
    """
    if dataflow not in _LAID_OUT:
        raise ConfigError(
            f"model the dataflow {dataflow!r}", "there is none", f"Choose from {', '.join(DATAFLOWS)}"
        )
    on_rows, on_columns, streamed = (
        np.asarray(getattr(gemms, name), dtype=np.int64) for name in _LAID_OUT[dataflow]
    )
    return on_rows, on_columns, streamed


def _cut(length: Whole, side: Whole) -> Whole:
    return -(-length // side)


def _fold_cycles(rows: Whole, columns: Whole, streamed: Whole, dataflow: str) -> Whole:
    through = 1 if dataflow == "output_stationary" else 2
    return through * rows + columns + streamed - 2
