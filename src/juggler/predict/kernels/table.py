"""Many kernels of one family as columns: what learners read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from juggler.arrays import Floats
from juggler.errors import ConfigError
from juggler.predict.kernels.sample import Sample
from juggler.predict.kernels.sizes import DERIVED
from juggler.predict.kernels.spec import CATEGORIES, FAMILIES, FLAGS, NUMBERS, KernelSpec

SIDES = tuple(f"{name}_{side}" for name in ("kernel", "stride", "dilation") for side in ("height", "width"))
PADS = ("pad_top", "pad_left", "pad_bottom", "pad_right")
FIELDS = (*NUMBERS, *SIDES, *PADS, *FLAGS)  # the numeric ones
DEFAULTS = {
    **dict.fromkeys((*NUMBERS, *SIDES), 1.0),
    **dict.fromkeys((*PADS, *FLAGS), 0.0),
    "activation": "none",
    "kind": "",
    "layout": "nchw",
}


class KernelTable:
    """Columns of kernels of one family, each of length `n`.

    `table[name]` is float64 for every field that is a number or a flag (`batch`, `in_channels`,
    `out_channels`, `height`, `width`, `groups`, `kernel_height` ..., `stride_width` ..., `dilation_height`
    ..., `pad_top`, `pad_left`, `pad_bottom`, `pad_right`, `bias`, `adds`, `cold`) and for every number that
    follows from them (`out_height`, `out_width`, `macs`, `operations`, `input_bytes`, `weight_bytes`,
    `output_bytes`, `bytes`, `im2col_bytes`); text for `activation`, `kind` and `layout`.

    Args:
        family: one of `juggler.predict.kernels.spec.FAMILIES`.
        columns: arrays of shape `[n]`, or single values that hold for all rows, by field; fields left out
            have the default of `KernelSpec`, channels left out are 1.

    Raises:
        ConfigError: no such family or column, unequal lengths, or numbers that make no kernel.
    """

    def __init__(self, family: str, columns: Mapping[str, Any]) -> None:
        unknown = sorted(set(columns) - set(DEFAULTS))
        if family not in FAMILIES or unknown:
            problem = f"the columns {', '.join(unknown)}" if unknown else "no such family"
            remedy = f"Families: {', '.join(FAMILIES)}. Columns: {', '.join(DEFAULTS)}"
            raise ConfigError(f"tabulate kernels of the family {family!r}", problem, remedy)
        self.family = family
        lengths = {np.shape(values) for values in columns.values() if np.ndim(values)}
        if len(lengths) > 1 or any(len(shape) > 1 for shape in lengths):
            raise ConfigError(f"tabulate {family} kernels", f"columns of {lengths}", "Give all one length")
        self._length = int(next(iter(lengths))[0]) if lengths else min(1, len(columns))
        self._columns = {name: self._column(name, columns) for name in DEFAULTS}
        self._derived: dict[str, Floats] = {}
        self._check()

    @classmethod
    def of(cls, specs: Sequence[KernelSpec]) -> Self:
        """Make the table of specs, in their order.

        Raises:
            ConfigError: no spec, or more than one family.
        """
        families = sorted({spec.family for spec in specs})
        if len(families) != 1:
            problem = f"the families {', '.join(families)}" if families else "no kernel"
            raise ConfigError("tabulate kernels", problem, "Give one or more kernels of one family")
        rows = [spec.columns() for spec in specs]
        return cls(families[0], {name: np.array([row[name] for row in rows]) for name in DEFAULTS})

    @classmethod
    def of_samples(cls, samples: Sequence[Sample]) -> Self:
        """Make the table of the kernels of samples, in their order; see `of`."""
        return cls.of([sample.spec for sample in samples])

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name in self._columns:
            return self._columns[name]
        if name not in DERIVED:
            names = ", ".join((*DEFAULTS, *DERIVED))
            raise ConfigError(f"read the column {name!r}", "there is none", f"There are: {names}")
        if name not in self._derived:
            values = DERIVED[name](self.family, self._columns)
            self._derived[name] = np.broadcast_to(np.asarray(values, np.float64), (self._length,))
        return self._derived[name]

    def take(self, rows: npt.ArrayLike | slice) -> Self:
        """Return a table of some rows, in their order: indices, a mask or a slice; of none, an empty one."""
        chosen = rows if isinstance(rows, slice) else np.asarray(rows)
        if not isinstance(chosen, slice) and not chosen.size:
            chosen = np.zeros(0, np.intp)  # numpy takes an empty list for numbers, which are no indices
        return type(self)(self.family, {name: column[chosen] for name, column in self._columns.items()})

    def but(self, **columns: npt.ArrayLike) -> Self:
        """Return a table with some columns replaced.

        Raises:
            ConfigError: as the table itself.
        """
        return type(self)(self.family, {**self._columns, **columns})

    def _column(self, name: str, columns: Mapping[str, Any]) -> npt.NDArray[Any]:
        values = np.asarray(columns.get(name, DEFAULTS[name]), str if name in CATEGORIES else np.float64)
        return np.broadcast_to(values, (self._length,)).copy()

    def _check(self) -> None:
        for name in FIELDS:
            column, lowest = self._columns[name], DEFAULTS[name]
            if not np.isfinite(column).all() or (column < lowest).any():
                problem = f"{name} from {column.min():g} to {column.max():g}"
                raise ConfigError(f"tabulate {self.family} kernels", problem, f"Give {lowest:g} or more")
        for name in ("out_height", "out_width"):
            if self._length and (self[name] < 1.0).any():
                row = int(np.argmax(self[name] < 1.0))
                problem = f"row {row} writes nothing ({name} {self[name][row]:g})"
                raise ConfigError(
                    f"tabulate {self.family} kernels", problem, "Give a larger input or more padding"
                )
