"""What learners see of a kernel: the paper's own features, or rich ones, as a matrix with named columns.

Fitted on training rows alone: the words that categories take there, and the columns that say anything there
(those that are constant, or equal to an earlier one, are left out).

Rich features are numbers that explain a kernel's time: its sizes, its view as a matrix product, its traffic,
its waste. Logs of everything, for times are products of sizes; then what makes two kernels of one size
differ: channels rounded up to whole vectors and tiles, odd sizes, padding of unequal sides (which some
runtimes make by a kernel of its own), and the work of the algorithms a runtime may choose: Winograd's where
it applies. Trees split on the log of the working set by themselves, so no cache's size is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from juggler.arrays import Floats
from juggler.errors import ConfigError
from juggler.nouns import Noun
from juggler.predict.kernels.spec import CATEGORIES, FLAGS, NUMBERS
from juggler.predict.kernels.table import SIDES, KernelTable

Columns = dict[str, Floats]

_FLAGS = (*FLAGS, "padded")
_TILES = ((128, 128), (128, 64), (128, 32), (64, 64), (32, 32), (6, 16))
_OUT_WASTE = (4, 8, 16, 32, 64, 128)
_IN_WASTE = (4, 8, 16, 32)
# Where the paper applies Box-Cox (its appendix D): matrix size and kernel size.
BOX_COX = ("height", "width", "kernel_height", "kernel_width")


def _paper_columns(table: KernelTable) -> Columns:
    """Return the features of the paper's Table 3: sizes as they are, padding as one flag."""
    padded = table["pad_top"] + table["pad_left"] + table["pad_bottom"] + table["pad_right"] > 0.0
    return {**{name: table[name] for name in (*NUMBERS, *SIDES, *FLAGS)}, "padded": padded * 1.0}


def _log_columns(table: KernelTable) -> Columns:
    """Return the paper's features, sizes as logs: a product of them is then a plane."""
    return {n: c if n in _FLAGS else np.log(np.maximum(c, 1.0)) for n, c in _paper_columns(table).items()}


def rich_columns(table: KernelTable) -> Columns:
    """Return the features by name, each `[n]`; categories are left to the caller."""
    return {**_sizes(table), **_product(table), **_traffic(table), **_waste(table), **_algorithms(table)}


def _log(values: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(values, 1.0))
    return logs


def _sizes(table: KernelTable) -> Columns:
    logs = ("batch", "in_channels", "out_channels", "height", "width", "out_height", "out_width", "groups")
    columns = {f"log_{name}": _log(table[name]) for name in logs}
    columns |= {name: table[name] for name in (*SIDES, *FLAGS)}
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
    waste = {f"waste_out_{m}": _rounding(columns, m) for m in _OUT_WASTE}
    waste |= {f"waste_in_{m}": _rounding(table["in_channels"] / table["groups"], m) for m in _IN_WASTE}
    waste["waste_depth_8"] = _rounding(depth, 8)
    for high, wide in _TILES:
        tiles = np.ceil(rows / high) * np.ceil(columns / wide) * table["groups"]
        waste[f"log_tiles_{high}_{wide}"] = _log(tiles)
        waste[f"log_tiled_macs_{high}_{wide}"] = _log(tiles * high * wide * depth)
    for name in ("width", "out_width"):
        waste |= {f"{name}_modulo_{m}": table[name] % m for m in (2, 4, 8, 32)}
    return waste


def _rounding(values: Floats, multiple: int) -> Floats:
    waste: Floats = np.log(np.ceil(values / multiple) * multiple / np.maximum(values, 1.0))
    return waste


def _algorithms(table: KernelTable) -> Columns:
    unit_step = (table["stride_height"] == 1.0) & (table["stride_width"] == 1.0)
    three = (table["kernel_height"] == 3.0) & (table["kernel_width"] == 3.0)
    is_pointwise = (table["kernel_height"] == 1.0) & (table["kernel_width"] == 1.0)
    channels = table["in_channels"] * table["out_channels"] / table["groups"]
    work = {"winograd": (three & unit_step) * 1.0, "pointwise": (is_pointwise & unit_step) * 1.0}
    for tile in (2, 4):  # F(2x2, 3x3) and F(4x4, 3x3), Lavin and Gray 2016
        tiles = table["batch"] * np.ceil(table["out_height"] / tile) * np.ceil(table["out_width"] / tile)
        work[f"log_winograd_{tile}"] = _log(tiles * (tile + 2) ** 2 * channels)
    is_whole_map = (table["kernel_height"] == table["height"]) & (table["kernel_width"] == table["width"])
    work["whole_window"] = is_whole_map * 1.0
    return work


_KINDS = {"paper": _paper_columns, "log": _log_columns, "rich": rich_columns}


@dataclass(frozen=True)
class Features(Noun):
    """A way to turn kernels of one family into a matrix.

    Attributes:
        kind: `paper` (Table 3), `log` (the same, sizes as logs) or `rich`.
        family: of the kernels it was fitted on; others are refused.
        words: by category, the words seen in training that get a column each; an unknown word gets none.
        names: the columns, in order.
    """

    kind: str
    family: str
    words: dict[str, tuple[str, ...]]
    names: tuple[str, ...]

    @classmethod
    def fit(cls, kind: str, table: KernelTable) -> Self:
        """Choose the columns on training rows.

        Raises:
            ConfigError: no such kind of features.
        """
        if kind not in _KINDS:
            raise ConfigError("choose features", f"no kind {kind!r}", f"Choose from {', '.join(_KINDS)}")
        words = {c: tuple(sorted({str(word) for word in table[c]})) for c in CATEGORIES}
        words = {category: words_of for category, words_of in words.items() if len(words_of) > 1}
        columns = _all_columns(kind, words, table)
        seen: dict[bytes, str] = {}
        for name, column in columns.items():
            if len(column) and float(np.ptp(column)) > 0.0:
                seen.setdefault(np.ascontiguousarray(column, np.float64).tobytes(), name)
        return cls(kind, table.family, words, tuple(seen.values()))

    def matrix(self, table: KernelTable) -> Floats:
        """Return `[n, columns]`.

        Raises:
            ConfigError: kernels of another family.
        """
        if table.family != self.family:
            problem = f"kernels of the family {table.family!r}"
            remedy = f"It was fitted on {self.family!r}: take the predictor of that family"
            raise ConfigError(f"predict with a learner of {self.family!r}", problem, remedy)
        columns = _all_columns(self.kind, self.words, table)
        if not self.names:
            return np.zeros((len(table), 1))
        return np.stack([columns[name] for name in self.names], axis=1)


def _all_columns(kind: str, words: Mapping[str, tuple[str, ...]], table: KernelTable) -> Columns:
    flags = {
        f"{category}={word}": (table[category] == word) * 1.0
        for category, words_of in words.items()
        for word in words_of
    }
    return {**_KINDS[kind](table), **flags}
