"""The layer table: what each operator, or each module with all that is in it, costs, and what binds it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from juggler.cost.roofline import Ceilings, floor_of
from juggler.count.counted import Counted, OpCount
from juggler.errors import ConfigError
from juggler.nouns import Noun

WHOLE = "(network)"  # what belongs to no module but the network itself


@dataclass(frozen=True)
class Layer(Noun):
    """One row: an operator, or all those of a module.

    Attributes:
        name: of the operator or the module.
        kind: what it is; of several operators how many there are of which kind, the most first.
        ops: how many, views left out.
        macs: multiply-accumulates.
        operations: all arithmetic: a MAC is two, everything else one.
        parameters: elements of its parameters, each in the first row that reads it.
        weight_bytes: parameters and buffers read.
        activation_bytes: activations read and written.
        live_bytes: the most that activations take at once while it runs.
        out_shape: sizes of what it gives last.
        least_ms: the least that it can take under the ceilings; None where there are none.
        bound: what that is set by: `compute`, `memory`, `overhead`; of several what most of it is.
    """

    name: str
    kind: str
    ops: int
    macs: int
    operations: int
    parameters: int
    weight_bytes: int
    activation_bytes: int
    live_bytes: int
    out_shape: tuple[int, ...]
    least_ms: float | None = None
    bound: str = ""

    @property
    def moved_bytes(self) -> int:
        """Return what is read and written."""
        return self.weight_bytes + self.activation_bytes

    @property
    def intensity(self) -> float:
        """Return operations a byte moved."""
        return self.operations / self.moved_bytes if self.moved_bytes else 0.0


SORTS: dict[str, Callable[[Layer], Any] | None] = {
    "order": None,
    "macs": lambda layer: layer.macs,
    "operations": lambda layer: layer.operations,
    "parameters": lambda layer: layer.parameters,
    "bytes": lambda layer: layer.moved_bytes,
    "memory": lambda layer: layer.live_bytes,
    "intensity": lambda layer: layer.intensity,
    "time": lambda layer: layer.least_ms or 0.0,
}


def layers(
    counted: Counted, ceilings: Ceilings | None = None, *, sort: str = "order", fold: int | None = None
) -> tuple[Layer, ...]:
    """Return the layer table; views, which cost nothing, have no rows.

    Args:
        counted: what `count` gave.
        ceilings: of the machine whose bounds are asked for.
        sort: a key of `SORTS`: `order` is that of execution, everything else puts the largest first.
        fold: how many levels of modules are kept apart: 1 is the network's own children, 0 the whole. None
            is one row an operator.

    Raises:
        ConfigError: there is no such order, or the depth is negative.
    """
    check(sort, fold)
    groups: dict[str, list[OpCount]] = {}
    for op in counted.ops:
        if op.kind != "view":
            groups.setdefault(op.name if fold is None else _folded(op.module_path, fold), []).append(op)
    rows = [_layer(name, ops, ceilings) for name, ops in groups.items()]
    key = SORTS[sort]
    return tuple(rows if key is None else sorted(rows, key=key, reverse=True))


def check(sort: str, fold: int | None) -> None:
    """Do nothing where a table can be sorted and folded like that.

    Raises:
        ConfigError: there is no such order, or the depth is negative.
    """
    if sort not in SORTS:
        raise ConfigError("sort the layers", f"no order {sort!r}", f"Choose from {', '.join(SORTS)}")
    if fold is not None and fold < 0:
        raise ConfigError("fold the layers", f"a depth of {fold}", "Give 0 for the whole network, or more")


def to_csv(rows: Sequence[Layer]) -> str:
    """Return the table as CSV, one line a row under a line of names; shapes are written `1x64x56x56`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [field.name for field in fields(Layer)]
    writer.writerow([*names, "intensity"])
    for row in rows:
        cells = [getattr(row, name) for name in names]
        written = ["x".join(map(str, cell)) if isinstance(cell, tuple) else cell for cell in cells]
        writer.writerow([*written, row.intensity])
    return out.getvalue()


def _folded(path: str, depth: int) -> str:
    return ".".join(path.split(".")[:depth]) or WHOLE


def _layer(name: str, ops: Sequence[OpCount], ceilings: Ceilings | None) -> Layer:
    floors = [floor_of(op, ceilings) for op in ops] if ceilings else []
    shares: Counter[str] = Counter()
    for floor in floors:
        shares[floor.bound] += floor.least_ms  # type: ignore[assignment]  # a Counter holds any number
    kinds = Counter(op.kind for op in ops)
    several = ", ".join(f"{times} {kind}" for kind, times in kinds.most_common(3))
    return Layer(
        name=name,
        kind=ops[0].kind if len(ops) == 1 else several + (", …" if len(kinds) > 3 else ""),
        ops=len(ops),
        macs=sum(op.macs for op in ops),
        operations=sum(op.operations for op in ops),
        parameters=sum(op.parameters for op in ops),
        weight_bytes=sum(op.weight_bytes for op in ops),
        activation_bytes=sum(op.input_bytes + op.output_bytes for op in ops),
        live_bytes=max(op.live_bytes for op in ops),
        out_shape=ops[-1].out_shape,
        least_ms=sum(floor.least_ms for floor in floors) if ceilings else None,
        bound=max(shares, key=lambda bound: shares[bound]) if shares else "",
    )
