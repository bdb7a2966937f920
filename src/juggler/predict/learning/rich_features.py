"""Numbers that explain a kernel's time: its sizes, its view as a matrix product, its traffic, its waste.

Logs of everything, for times are products of sizes; then what makes two kernels of one size differ: channels
rounded up to whole vectors and tiles, odd sizes, padding of unequal sides (which some runtimes make by a
kernel of its own), and the work of the algorithms a runtime may choose: Winograd's where it applies.
Trees split on the log of the working set by themselves, so no cache's size is needed here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from juggler.predict.kernels.table import KernelTable

Floats = npt.NDArray[np.float64]
Columns = dict[str, Floats]

_TILES = ((128, 128), (128, 64), (128, 32), (64, 64), (32, 32), (6, 16))
_OUT_WASTE = (4, 8, 16, 32, 64, 128)
_IN_WASTE = (4, 8, 16, 32)


def rich_columns(table: KernelTable) -> Columns:
    """Return the features by name, each `[n]`; categories are left to the caller."""
    return {**_sizes(table), **_product(table), **_traffic(table), **_waste(table), **_algorithms(table)}


def _log(values: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(values, 1.0))
    return logs


def _sizes(table: KernelTable) -> Columns:
    logs = ("batch", "in_channels", "out_channels", "height", "width", "out_height", "out_width", "groups")
    plain = ("kernel_height", "kernel_width", "stride_height", "stride_width", "dilation_height")
    columns = {f"log_{name}": _log(table[name]) for name in logs}
    columns |= {name: table[name] for name in (*plain, "dilation_width", "bias", "adds", "cold")}
    down, across = table["pad_top"] + table["pad_bottom"], table["pad_left"] + table["pad_right"]
    uneven = (table["pad_top"] != table["pad_bottom"]) | (table["pad_left"] != table["pad_right"])
    columns |= {"pad_down": down, "pad_across": across, "pad_uneven": uneven * 1.0}
    columns["log_overlap"] = _log(table["kernel_height"] * table["kernel_width"]) - _log(
        table["stride_height"] * table["stride_width"]
    )
    return columns


def product_sizes(table: KernelTable) -> tuple[Floats, Floats, Floats]:
    """Return rows, columns and depth `[n]` of the matrix product that a kernel is, of one group."""
    rows = table["batch"] * table["out_height"] * table["out_width"]
    columns = table["out_channels"] / table["groups"]
    depth = table["in_channels"] / table["groups"] * table["kernel_height"] * table["kernel_width"]
    return rows, columns, depth


def _product(table: KernelTable) -> Columns:
    rows, columns, depth = product_sizes(table)
    return {
        "log_rows": _log(rows),
        "log_columns": _log(columns),
        "log_depth": _log(depth),
        "rows_by_columns": _log(rows) - _log(columns),
        "depth_by_columns": _log(depth) - _log(columns),
        "in_by_out_channels": _log(table["in_channels"]) - _log(table["out_channels"]),
    }


def _traffic(table: KernelTable) -> Columns:
    names = ("macs", "operations", "input_bytes", "weight_bytes", "output_bytes", "bytes", "im2col_bytes")
    columns = {f"log_{name}": _log(table[name]) for name in names}
    columns["log_intensity"] = columns["log_operations"] - columns["log_bytes"]
    columns["log_input_by_output"] = columns["log_input_bytes"] - columns["log_output_bytes"]
    return columns


def _waste(table: KernelTable) -> Columns:
    rows, columns, depth = product_sizes(table)
    found = {f"waste_out_{m}": _rounding(columns, m) for m in _OUT_WASTE}
    found |= {f"waste_in_{m}": _rounding(table["in_channels"] / table["groups"], m) for m in _IN_WASTE}
    found["waste_depth_8"] = _rounding(depth, 8)
    for high, wide in _TILES:
        tiles = np.ceil(rows / high) * np.ceil(columns / wide) * table["groups"]
        found[f"log_tiles_{high}_{wide}"] = _log(tiles)
        found[f"log_tiled_macs_{high}_{wide}"] = _log(tiles * high * wide * depth)
    for name in ("width", "out_width"):
        found |= {f"{name}_modulo_{m}": table[name] % m for m in (2, 4, 8, 32)}
    return found


def _rounding(values: Floats, multiple: int) -> Floats:
    waste: Floats = np.log(np.ceil(values / multiple) * multiple / np.maximum(values, 1.0))
    return waste


def _algorithms(table: KernelTable) -> Columns:
    unit_step = (table["stride_height"] == 1.0) & (table["stride_width"] == 1.0)
    three = (table["kernel_height"] == 3.0) & (table["kernel_width"] == 3.0)
    one = (table["kernel_height"] == 1.0) & (table["kernel_width"] == 1.0)
    channels = table["in_channels"] * table["out_channels"] / table["groups"]
    found = {"winograd": (three & unit_step) * 1.0, "pointwise": (one & unit_step) * 1.0}
    for tile in (2, 4):  # F(2x2, 3x3) and F(4x4, 3x3), Lavin and Gray 2016
        tiles = table["batch"] * np.ceil(table["out_height"] / tile) * np.ceil(table["out_width"] / tile)
        found[f"log_winograd_{tile}"] = _log(tiles * (tile + 2) ** 2 * channels)
    whole = (table["kernel_height"] == table["height"]) & (table["kernel_width"] == table["width"])
    found["whole_window"] = whole * 1.0
    return found
