"""Count the work of matrix products: dense layers, and convolutions that are unfolded into one.

Rows of the left matrix go 12, 6, 3 or 1 at a time over columns of the right one, 32 or 16 at a time. Partial
sums go out and come back for every 128 or so of the depth; a right matrix that is no constant is packed
first. A product with a vector is a pass over the other matrix.

Sources: sgemm.cpp, convolve.cpp and SgemmKernelAvx512F.S of ONNX Runtime's MLAS (MIT).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from juggler.arrays import Floats
from juggler.predict.kernels.sizes import GATES
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.work.blocks import SUM_BYTES, cycles, waits
from juggler.predict.learning.work.memory import Columns, beyond, by_level, cold, constant, finish

Bools = npt.NDArray[np.bool_]

ROWS = (12.0, 6.0, 3.0, 1.0)
WIDE, VECTOR = 32.0, 16.0
STRIDE = 128.0  # columns and depth that are computed together, unless one of them is small
PANEL_BYTES = STRIDE * STRIDE * 4.0
FETCHED_BYTES = (2e6, 10e6)  # of images: where what is not read in order costs most


def product(calls: Floats, rows: Floats, columns: Floats, depth: Floats) -> Columns:
    """Count products of `[rows, depth]` by `[depth, columns]`, so many of a kernel."""
    counts, left = [], rows
    for high in ROWS:
        counts.append(left // high)
        left = left % high
    rest = columns % WIDE
    wide, narrow = columns // WIDE + (rest > VECTOR), ((rest > 0.0) & (rest <= VECTOR)) * 1.0

    def spent(on: Callable[[float, float], Floats]) -> Floats:
        each = (
            n * (wide * on(high, 2.0) + narrow * on(high, 1.0)) for n, high in zip(counts, ROWS, strict=True)
        )
        total: Floats = calls * depth * sum(each, np.zeros(len(calls)))
        return total

    across, deep = _strides(columns, depth)
    vectors, passes, panels = np.ceil(columns / VECTOR), np.ceil(depth / deep), np.ceil(columns / across)
    work = {
        "products": calls * depth * rows * vectors / 2.0,
        "cycles": spent(cycles),
        "waits": spent(waits),
        "products_called": calls,
        "sums": calls * rows * vectors * passes,
        "tiles": calls * passes * sum(counts) * np.ceil(columns / WIDE),
        "left": calls * rows * depth * 4.0 * panels,
        "packed": calls * depth * vectors * VECTOR,
        "packed_rows": calls * depth * panels,
    }
    return work | by_level("left", work["left"], rows * depth * 4.0)


def _strides(columns: Floats, depth: Floats) -> tuple[Floats, Floats]:
    """Return how many columns and how much depth go together: more of one where the other is small."""
    across, deep = np.full(len(columns), STRIDE), np.full(len(columns), STRIDE)
    for _ in range(8):
        is_shallow = (columns >= depth) & (deep / 2.0 >= depth) & (deep > 1.0)
        is_narrow = (columns < depth) & (across > VECTOR) & (across / 2.0 >= columns)
        factor = np.where(is_shallow, 2.0, np.where(is_narrow, 0.5, 1.0))
        across, deep = across * factor, deep / factor
    return across, deep


def but_vectors(work: Columns, is_vector: Bools) -> Columns:
    """Return counts of products without those that are a pass over one matrix."""
    return {name: n if name == "products_called" else n * ~is_vector for name, n in work.items()}


def vector_products(calls: Floats, rows: Floats, columns: Floats, depth: Floats, is_vector: Bools) -> Columns:
    """Count products of which one side is a vector: a pass over the other side, eight numbers at a time."""
    is_row = rows == 1.0
    length = np.where(is_row, columns, rows)
    long = np.where(is_row, depth * np.ceil(columns / 8.0), rows * np.ceil(depth / 8.0))
    work = {"vector_products": calls * long * is_vector}
    work["vector_waits"] = calls * depth * (is_row & (columns < 32.0)) * is_vector  # one sum after the other
    return work | by_level("vector_product", calls * length * depth * 4.0 * is_vector, length * depth * 4.0)


def unfolded(table: KernelTable) -> Columns:
    """Count a convolution that is unfolded into a product, an image and a group at a time."""
    groups = table["groups"]
    calls, rows = table["batch"] * groups, table["out_channels"] / groups
    positions, taps = table["out_height"] * table["out_width"], table["kernel_height"] * table["kernel_width"]
    depth = table["in_channels"] / groups * taps
    work = product(calls, rows, positions, depth)
    is_vector = (positions == 1.0) | (rows == 1.0)
    work = but_vectors(work, is_vector) | vector_products(calls, rows, positions, depth, is_vector)
    padded = table["pad_top"] + table["pad_left"] + table["pad_bottom"] + table["pad_right"] > 0.0
    steps = table["stride_height"] * table["stride_width"]
    is_unfolded = ((taps > 1.0) | (steps > 1.0) | padded) * 1.0
    moved, is_strided = is_unfolded * calls * depth * positions, (table["stride_width"] > 1.0) * 1.0
    work |= {"gathered": moved * is_strided, "copied": moved * (1.0 - is_strided)}
    work["copied_rows"] = is_unfolded * calls * depth * table["out_height"]
    lines = np.minimum(table["out_height"] * table["kernel_height"], table["height"])
    read = table["batch"] * table["in_channels"] * lines * is_unfolded
    for limit in FETCHED_BYTES:  # rows of images, or lines of panels, that are fetched one by one
        far = beyond(table["input_bytes"], limit)
        work[f"rows_from_{limit / 1e6:g}"] = read * far
        work[f"packed_from_{limit / 1e6:g}"] = work["packed"] * (1.0 - is_unfolded) * far
    panel = np.where(rows > positions, depth * positions * 4.0, PANEL_BYTES)
    work |= by_level("unfolded", moved * SUM_BYTES, panel)
    work |= {"finished": calls * rows * positions, "finished_rows": calls * rows}
    work |= by_level("finished", calls * rows * positions * SUM_BYTES, rows * positions * 4.0)
    again = np.maximum(calls * rows * depth * 4.0 - cold(table), 0.0)
    work |= by_level("weights", again * ~is_vector, table["weight_bytes"])
    return constant(table) | work | finish(table)


def dense(table: KernelTable) -> Columns:
    """Count a dense layer, or the product of two activations in heads."""
    is_product = (table["kind"] == "product") * 1.0
    heads = np.where(is_product > 0.0, table["groups"], 1.0)
    positions = table["height"] * table["width"]
    calls = np.where(is_product > 0.0, table["batch"] * heads, 1.0)
    rows = np.where(is_product > 0.0, positions, table["batch"] * positions)
    depth, columns = table["in_channels"] / heads, table["out_channels"] / heads
    # Weights are packed once, when the network is opened, and have no path for vectors.
    is_vector = ((rows == 1.0) | (columns == 1.0)) & (is_product > 0.0)
    work = but_vectors(product(calls, rows, columns, depth), is_vector)
    work |= vector_products(calls, rows, columns, depth, is_vector)
    for name in ("packed", "packed_rows"):
        work[name] = work[name] * is_product
    right = depth * columns * 4.0
    read = np.maximum(calls * right * ~is_vector - cold(table), 0.0)
    work |= by_level("right", read, right) | {"right": calls * right}
    work |= by_level("right_again", calls * right * np.ceil(rows / ROWS[0]), right)
    for limit in (20e6, 60e6):
        work[f"right_{limit / 1e6:g}"] = calls * right * np.clip(right / limit - 1.0, 0.0, 1.0)
    work |= {"bias": table["bias"] * table["output_bytes"] / 4.0, "heads": is_product * calls}
    work |= {f"kind_{kind}": (table["kind"] == kind) * 1.0 for kind in ("matmul", "product")}
    work |= by_level("finished", calls * rows * columns * SUM_BYTES, rows * columns * 4.0)
    far = np.clip(table["weight_bytes"] / 20e6 - 1.0, 0.0, 1.0)
    return constant(table) | work | finish(table) | {"cold_far": table["cold"] * table["weight_bytes"] * far}


def int8_product(table: KernelTable) -> Columns:
    """Count a convolution or a dense layer of int8: four products a lane, and what gathers its input."""
    calls, taps = table["groups"], table["kernel_height"] * table["kernel_width"]
    rows = table["batch"] * table["out_height"] * table["out_width"]
    depth, columns = table["in_channels"] / calls * taps, table["out_channels"] / calls
    work = product(calls, rows, columns, np.ceil(depth / 4.0))
    outputs = calls * rows * columns
    work |= {"gathered": calls * rows * depth * (taps > 1.0), "gathered_taps": calls * rows * taps}
    work |= {"outputs": outputs, "single": outputs * taps * (columns == 1.0)}
    work |= {f"kind_{kind}": (table["kind"] == kind) * outputs for kind in ("integer", "matmul", "dynamic")}
    work["quantised"] = (table["kind"] == "dynamic") * table["input_bytes"]
    return constant(table) | work | finish(table)


def recurrent(table: KernelTable) -> Columns:
    """Count a recurrent layer: one product for the inputs of all steps, one a step for the hidden state."""
    directions, steps = table["groups"], table["height"]
    hidden = table["out_channels"] / directions
    gates = sum((count * (table["kind"] == kind) for kind, count in GATES.items()), np.zeros(len(table)))
    gated = np.where(gates > 0.0, gates, 4.0) * hidden
    counts = {
        f"input_{name}": count
        for name, count in product(directions, table["batch"] * steps, gated, table["in_channels"]).items()
    }
    each = product(directions * steps, table["batch"], gated, hidden)
    counts |= {f"step_{name}": count for name, count in each.items()}
    counts |= {"steps": directions * steps, "gated": directions * steps * table["batch"] * gated}
    counts |= by_level("hidden", directions * steps * gated * hidden * 4.0, gated * hidden * 4.0)
    for kind in GATES:
        counts |= {f"{name}_{kind}": counts[name] * (table["kind"] == kind) for name in ("steps", "gated")}
    return constant(table) | counts | finish(table)
