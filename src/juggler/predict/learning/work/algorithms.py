"""Count a kernel's work by the algorithm that it runs by: what unit costs can be fitted to.

Which algorithm that is follows from its sizes and its layout alone, by the rules of ONNX Runtime's CPU
kernels. Where another runtime goes by other rules the counts are still sizes that its time may go by; whether
they serve is seen on validation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.work.blocks import convolution, pointwise, window, windows
from juggler.predict.learning.work.memory import BLOCK, Columns, constant, finish, traffic
from juggler.predict.learning.work.products import dense, int8_product, recurrent, unfolded

CURVED = ("sigmoid", "tanh", "exp", "erf", "gelu", "silu", "softplus", "elu")  # a series for each number
Words = npt.NDArray[np.str_]


def algorithms(table: KernelTable) -> Words:
    """Return the name of each kernel's algorithm, `[n]`; one of `COUNTS`."""
    is_blocked = table["layout"] == "blocked"
    padded = table["pad_top"] + table["pad_left"] + table["pad_bottom"] + table["pad_right"] > 0.0
    rest = np.full(len(table), "other")
    if table.family == "conv":
        is_point = (table["kernel_height"] * table["kernel_width"] == 1.0) & ~padded
        is_direct = (table["groups"] == 1.0) & (table["in_channels"] < BLOCK)
        blocked = np.where(is_point, "pointwise", "convolution")
        return np.where(is_blocked, blocked, np.where(is_direct, "direct", "unfolded"))
    if table.family == "depthwise":
        single = np.where(table["groups"] == 1.0, "direct", "unfolded")  # one channel is no group of many
        return np.where(is_blocked, "window", single)
    if table.family in ("int8_conv", "int8_dense", "recurrent"):
        return np.full(len(table), table.family)
    if table.family == "pool":
        is_whole = (table["kernel_height"] == table["height"]) & (table["kernel_width"] == table["width"])
        plain = np.where(is_whole & ~padded, "whole_pool", "plain_pool")
        loop = np.where(table["kind"] == "padded_average", "tap_pool", plain)
        return np.where(is_blocked, "window", loop)
    return np.full(len(table), "dense") if table.family == "dense" else rest


def plain_pool(table: KernelTable) -> Columns:
    """Count a pool in the plain layout: rows are reduced to one, then every window of that.

    With steps of more than 2 it goes window by window and tap by tap instead.
    """
    planes = table["batch"] * table["out_channels"]
    rows = planes * table["out_height"]
    outs = rows * table["out_width"]
    reduced = planes * windows(table, "height").taps
    taps = reduced * windows(table, "width").taps
    is_stepped = (table["stride_width"] > 2.0) * 1.0
    by_rows = {
        "planes": planes,
        "rows": rows,
        "reduced": reduced * np.ceil(table["width"] / 4.0),
        "reduced_rows": reduced,
        "outputs": outs,
        "steps": outs * np.ceil(table["kernel_width"] / 4.0),
        "taps": outs * table["kernel_width"],
        "left_taps": outs * (table["kernel_width"] % 4.0),
        "wide": outs * (table["kernel_width"] > 4.0),
    }
    by_taps = {"planes": planes, "outputs": outs, "rows": reduced * table["out_width"], "taps": taps}
    counts = {name: values * (1.0 - is_stepped) for name, values in by_rows.items()}
    counts |= {f"stepped_{name}": values * is_stepped for name, values in by_taps.items()}
    is_average = (table["kind"] == "average") * 1.0
    counts |= {f"average_{name}": values * is_average for name, values in counts.items()}
    return constant(table) | counts | finish(table)


def whole_pool(table: KernelTable) -> Columns:
    """Count a pool in the plain layout whose window is the whole map."""
    planes, area = table["batch"] * table["in_channels"], table["height"] * table["width"]
    is_average = (table["kind"] == "average") * 1.0
    counts = {
        "planes": planes,
        "averages": planes * is_average,
        "averaged": planes * area * is_average,
        "vectors": planes * np.ceil(area / 4.0),
    }
    return constant(table) | counts | finish(table)


def tap_pool(table: KernelTable) -> Columns:
    """Count a pool that goes window by window and tap by tap, one number at a time."""
    planes = table["batch"] * table["out_channels"]
    counts = {
        "planes": planes,
        "outputs": planes * table["out_height"] * table["out_width"],
        "rows": planes * windows(table, "height").taps * table["out_width"],
        "taps": planes * windows(table, "height").taps * windows(table, "width").taps,
    }
    return constant(table) | counts | finish(table)


def one_pass(table: KernelTable) -> Columns:
    """Count what goes over its input once: by number, by channel, by position, each kind for itself."""
    words, planes = table["output_bytes"] / 4.0, table["batch"] * table["out_channels"]
    blocks = table["batch"] * np.ceil(table["out_channels"] / BLOCK)
    area = table["height"] * table["width"]
    counts = {
        "planes": planes,
        "blocks": blocks,
        "positions": table["batch"] * area,
        "images": table["batch"],
        "read": table["input_bytes"] / 4.0,
        "padded_words": blocks * BLOCK * area * (table["layout"] == "blocked"),
        "odd_words": words * (table["out_channels"] % BLOCK != 0.0),
        "vector_words": words * (area == 1.0),
        "parts": table["groups"] * table["batch"] * (table.family == "concat"),
        "words_curved": words * np.isin(table["kind"], CURVED),
    }
    for kind in sorted({str(kind) for kind in table["kind"]}):
        is_kind = (table["kind"] == kind) * 1.0
        counts |= {f"call_{kind}": is_kind, f"words_{kind}": is_kind * words}
        if table.family != "elementwise" or kind == "scale":  # the others see no planes
            counts[f"planes_{kind}"] = is_kind * planes * (area > 1.0)  # one of a single position is no loop
    return constant(table) | counts | traffic(table)


def direct(table: KernelTable) -> Columns:
    """Count a convolution in blocks that reads an image of few channels as it is."""
    return convolution(table, is_direct=True)


COUNTS: Mapping[str, Callable[[KernelTable], Columns]] = {
    "pointwise": pointwise,
    "convolution": convolution,
    "direct": direct,
    "unfolded": unfolded,
    "window": window,
    "plain_pool": plain_pool,
    "whole_pool": whole_pool,
    "tap_pool": tap_pool,
    "dense": dense,
    "int8_conv": int8_product,
    "int8_dense": int8_product,
    "recurrent": recurrent,
    "other": one_pass,
}
