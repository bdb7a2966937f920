"""What learners see of a kernel: the paper's own features, or rich ones, as a matrix with named columns.

Fitted on training rows alone: the words that categories take there, and the columns that say anything there
(those that are constant, or equal to an earlier one, are left out).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from juggler.errors import ConfigError
from juggler.nouns import Noun
from juggler.predict.kernels.spec import CATEGORIES
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.rich_features import rich_columns

Floats = npt.NDArray[np.float64]

_PLAIN = (
    *("batch", "in_channels", "out_channels", "height", "width", "groups", "kernel_height", "kernel_width"),
    *("stride_height", "stride_width", "dilation_height", "dilation_width", "bias", "adds", "cold"),
)
_FLAGS = ("bias", "adds", "cold", "padded")
# Where the paper applies Box-Cox (its appendix D): matrix size and kernel size.
BOX_COX = ("height", "width", "kernel_height", "kernel_width")


def _paper_columns(table: KernelTable) -> dict[str, Floats]:
    """Return the features of the paper's Table 3: sizes as they are, padding as one flag."""
    padded = table["pad_top"] + table["pad_left"] + table["pad_bottom"] + table["pad_right"] > 0.0
    return {**{name: table[name] for name in _PLAIN}, "padded": padded * 1.0}


def _log_columns(table: KernelTable) -> dict[str, Floats]:
    """Return the paper's features, sizes as logs: a product of them is then a plane."""
    return {n: c if n in _FLAGS else np.log(np.maximum(c, 1.0)) for n, c in _paper_columns(table).items()}


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
        words = {category: found for category, found in words.items() if len(found) > 1}
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
            found = f"kernels of the family {table.family!r}"
            remedy = f"It was fitted on {self.family!r}: take the predictor of that family"
            raise ConfigError(f"predict with a learner of {self.family!r}", found, remedy)
        columns = _all_columns(self.kind, self.words, table)
        if not self.names:
            return np.zeros((len(table), 1))
        return np.stack([columns[name] for name in self.names], axis=1)


def _all_columns(kind: str, words: Mapping[str, tuple[str, ...]], table: KernelTable) -> dict[str, Floats]:
    flags = {
        f"{category}={word}": (table[category] == word) * 1.0
        for category, found in words.items()
        for word in found
    }
    return {**_KINDS[kind](table), **flags}
