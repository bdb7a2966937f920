"""Count the work of kernels that run in blocks of 16 channels, as those of ONNX Runtime do on AVX-512.

A convolution computes up to four blocks of output channels at once, of 6, 3, 2 or 1 positions of a row. How
many cycles each takes follows from its products and loads: two of either a cycle. A sum waits four for the
one before; where less is done in between, that is counted by itself, for what follows may fill it. Positions
that touch the border are computed one by one. Partial sums go out and come back for every block of input
channels, or every 128 of a 1x1 convolution.

Sources: snchwc.cpp and SconvKernelAvx512F.S of ONNX Runtime's MLAS (MIT), which is what is counted here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from juggler.arrays import Floats
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.work.memory import BLOCK, Columns, by_level, cold, constant, finish

FILTERS = 4.0  # blocks of output channels that are computed at once
FILLED = (True, True)
RUNS = (6.0, 3.0, 2.0, 1.0)  # positions of a row that are computed at once
POINTWISE_CHANNELS = 128.0  # after which a 1x1 convolution lets go of its sums
SUM_BYTES = 8.0  # of a number that goes out and comes back


class Windows(NamedTuple):
    """How windows lie on one side of a map, `[n]` each.

    Attributes:
        taps: on the map, summed over all outputs.
        used: taps that are on the map for any output.
        before: outputs that touch the border at the start.
        within: outputs that touch none.
        after: the others.
    """

    taps: Floats
    used: Floats
    before: Floats
    within: Floats
    after: Floats


def windows(table: KernelTable, side: str) -> Windows:
    """Return how windows lie on the side `height` or `width`."""
    kernel, stride, dilation = (table[f"{name}_{side}"] for name in ("kernel", "stride", "dilation"))
    size, outs = table[side], table[f"out_{side}"]
    pad = table["pad_top" if side == "height" else "pad_left"]
    taps, used = np.zeros(len(table)), np.zeros(len(table))
    for tap in range(int(kernel.max(initial=0.0))):
        first = np.maximum(np.ceil((pad - tap * dilation) / stride), 0.0)
        last = np.minimum(np.floor((size - 1.0 + pad - tap * dilation) / stride), outs - 1.0)
        hits = np.where(tap < kernel, np.maximum(last - first + 1.0, 0.0), 0.0)
        taps, used = taps + hits, used + (hits > 0.0)
    before = np.minimum(np.ceil(pad / stride), outs)
    reached = np.floor((size + pad - (kernel - 1.0) * dilation - 1.0) / stride) + 1.0
    within = np.clip(reached - before, 0.0, outs - before)
    return Windows(taps, used, before, within, outs - before - within)


def runs_of(positions: Floats) -> tuple[Floats, ...]:
    """Return how many runs of 6, 3, 2 and 1 positions a row is computed in."""
    left = positions % 6.0
    after = left - 3.0 * (left >= 3.0)
    counts = (positions // 6.0, left >= 3.0, after == 2.0, after == 1.0)
    return tuple(np.asarray(count, np.float64) for count in counts)


def cycles(rows: Floats | float, vectors: Floats | float) -> Floats:
    """Return the cycles that one step of a tile is busy: with products, or with loads."""
    busy: Floats = np.maximum(np.multiply(rows, vectors) / 2.0, (np.add(rows, vectors)) / 2.0)
    return busy


def waits(rows: Floats | float, vectors: Floats | float) -> Floats:
    """Return the cycles that one step of a tile waits for the sums before."""
    return np.maximum(4.0 - cycles(rows, vectors), 0.0)


def in_one_row(table: KernelTable) -> KernelTable:
    """Return kernels as they are run: windows as wide as an unpadded map, step by step, make one long row.

    Such a map of `[height, width]` is read as one row of all its positions, each window as
    `kernel_height * kernel_width` taps next to each other, moved on by a row's width: what would be a call a
    row with one position each is one call.
    """
    padded = table["pad_top"] + table["pad_left"] + table["pad_bottom"] + table["pad_right"] > 0.0
    steps = (
        (table["stride_height"] == 1.0) & (table["stride_width"] == 1.0) & (table["dilation_height"] == 1.0)
    )
    is_one = (table["kernel_width"] == table["width"]) & steps & (table["dilation_width"] == 1.0) & ~padded
    taps, positions = table["kernel_height"] * table["kernel_width"], table["height"] * table["width"]
    return table.but(
        height=np.where(is_one, 1.0, table["height"]),
        width=np.where(is_one, positions, table["width"]),
        kernel_height=np.where(is_one, 1.0, table["kernel_height"]),
        kernel_width=np.where(is_one, taps, table["kernel_width"]),
        stride_width=np.where(is_one, table["width"], table["stride_width"]),
    )


def _groups_of_filters(blocks: Floats) -> list[tuple[Floats, float]]:
    """Return how many groups of four blocks of filters there are, and whether one of 1, 2 or 3."""
    left = blocks % FILTERS
    return [(blocks // FILTERS, FILTERS), *(((left == few) * 1.0, few) for few in (1.0, 2.0, 3.0))]


def pointwise(table: KernelTable) -> Columns:
    """Count a 1x1 convolution without padding."""
    groups = table["groups"]
    images = table["batch"] * groups
    inside = np.ceil(table["in_channels"] / groups / BLOCK) * BLOCK
    blocks = np.ceil(table["out_channels"] / groups / BLOCK)
    positions = table["out_height"] * table["out_width"]
    is_flat = (table["stride_height"] == 1.0) & (table["stride_width"] == 1.0)
    row = np.where(is_flat, positions, table["out_width"])  # all rows are one where none is passed over
    rows = images * np.where(is_flat, 1.0, table["out_height"])
    passes = np.ceil(inside / POINTWISE_CHANNELS)
    runs = runs_of(row)
    groups_of = _groups_of_filters(blocks)
    tiles = sum((count for count, _ in groups_of), np.zeros(len(table)))

    def spent(on: Callable[[float, float], Floats]) -> Floats:
        each = [
            n * count * on(run, few) for count, few in groups_of for n, run in zip(runs, RUNS, strict=True)
        ]
        total: Floats = rows * inside * sum(each, np.zeros(len(table)))
        return total

    counts = constant(table) | {
        "products": images * inside * blocks * positions / 2.0,
        "cycles": spent(cycles),
        "waits": spent(waits),
        "tiles": rows * passes * tiles * sum(runs),
        "sums": images * passes * blocks * positions,
        "rows": rows * passes * tiles,
    }
    counts |= by_level("sums", images * passes * blocks * BLOCK * positions * SUM_BYTES, 4.0 * 64.0 * row)
    image = inside * positions * 4.0
    counts |= by_level("input_again", images * np.ceil(blocks / FILTERS) * inside * positions * 4.0, image)
    read = np.maximum(images * inside * blocks * BLOCK * 4.0 - cold(table), 0.0)
    counts |= by_level("weights", read, table["weight_bytes"])
    again = (rows - images) * inside * blocks * BLOCK * 4.0  # by every row of a map that is stepped over
    counts |= by_level("weights_again", again, inside * np.minimum(blocks, FILTERS) * BLOCK * 4.0)
    return counts | finish(table, is_filled=FILLED)


def convolution(table: KernelTable, *, is_direct: bool = False) -> Columns:
    """Count a convolution in blocks; a direct one reads an image of few channels as it is."""
    table = in_one_row(table)
    groups = np.ones(len(table)) if is_direct else table["groups"]
    images, step = table["batch"] * groups, 1.0 if is_direct else BLOCK
    inside = np.ceil(table["in_channels"] / groups / step) * step
    blocks = np.ceil(table["out_channels"] / groups / BLOCK)
    down, across = windows(table, "height"), windows(table, "width")
    taps, positions = table["kernel_width"], table["out_height"] * table["out_width"]
    *many, last = runs_of(across.within)
    alone = last + across.before + across.after
    alone_taps = np.maximum(across.taps - taps * across.within, 0.0) + taps * last
    passes = images * inside / step
    names = ("cycles", "waits", "alone", "alone_waits", "skipped", "taps", "tiles", "sums")
    counts = {name: np.zeros(len(table)) for name in names}
    for count, few in _groups_of_filters(blocks):
        edge = passes * count * down.taps
        for name, on in (("cycles", cycles), ("waits", waits)):
            spent = sum(n * on(run, few) for n, run in zip(many, RUNS[:3], strict=True))
            counts[name] += edge * taps * step * spent
        counts["alone"] += edge * alone_taps * step * cycles(1.0, few)
        counts["alone_waits"] += edge * alone_taps * step * waits(1.0, few)
        counts["skipped"] += edge * (alone * taps - alone_taps)
        counts["taps"] += edge * taps * sum(many)
        counts["tiles"] += passes * count * table["out_height"] * (sum(many) + alone)
        counts["sums"] += passes * count * positions * few
    counts["products"] = passes * down.taps * across.taps * step * blocks / 2.0
    tall = np.ceil(blocks / FILTERS)
    counts["rows"] = passes * tall * table["out_height"]
    counts["items"] = images * tall
    few_blocks = np.minimum(blocks, FILTERS)
    held = few_blocks * 64.0 * (table["out_width"] if is_direct else positions)
    counts |= by_level("sums", passes * blocks * BLOCK * positions * SUM_BYTES, held)
    image = inside * table["height"] * table["width"] * 4.0
    counts |= by_level("input_again", images * tall * image, image)
    touched = down.used * across.used
    again = images * inside * blocks * BLOCK * touched * 4.0 - cold(table)
    counts |= by_level("weights", np.maximum(again, 0.0), table["weight_bytes"])
    if not is_direct:
        tile = BLOCK * few_blocks * BLOCK * touched * 4.0  # weights that each run of a row goes through
        counts["weights_again"] = counts["rows"] * np.ceil(table["out_width"] / 6.0) * tile
        counts["weights_again"] *= np.clip((tile / 1e3 - 24.0) / 48.0, 0.0, 1.0)
    return constant(table) | counts | finish(table, is_filled=(not is_direct, True))


def window(table: KernelTable) -> Columns:
    """Count what slides a window over each channel by itself: depthwise convolutions and pools."""
    table = in_one_row(table)
    planes = table["batch"] * np.ceil(table["out_channels"] / BLOCK)
    down, across = windows(table, "height"), windows(table, "width")
    taps, rows = table["kernel_width"], planes * table["out_height"]
    *many, last = runs_of(across.within)
    alone_taps = np.maximum(across.taps - taps * across.within, 0.0) + taps * last
    edge = planes * down.taps
    alone = last + across.before + across.after
    counts = constant(table) | {
        "planes": planes,
        "rows": rows,
        "taps": edge * across.taps,
        "input_vectors": planes * table["height"] * table["width"],
        "output_vectors": rows * table["out_width"],
        "cycles": 4.0 * edge * taps * sum(many),
        "alone": edge * alone_taps,
        "skipped": edge * (alone * taps - alone_taps),
        "tiles": rows * sum(many),
        "tiles_alone": rows * alone,
    }
    if table.family == "pool":
        is_average = (table["kind"] == "average") * 1.0
        counts |= {f"average_{n}": counts[n] * is_average for n in ("rows", "output_vectors", "taps")}
    return counts | finish(table, is_filled=FILLED)
