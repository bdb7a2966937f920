"""What one call of an operator is, and the work that it does, in whole numbers.

A *multiply-accumulate* (MAC) is a multiplication whose result is added to a running sum: what convolutions,
matrix products and attention are made of. All other arithmetic is counted beside them, by kind. A sum of n
numbers takes n additions, from an accumulator that starts at zero, as n MACs do for a product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from juggler.count.geometry import Geometry
from juggler.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

KINDS = (
    "conv",
    "linear",
    "matmul",
    "attention",
    "norm",
    "pool",
    "resample",
    "activation",
    "elementwise",
    "softmax",
    "reduce",
    "move",
    "view",
)


@dataclass(frozen=True)
class Call:
    """One call of an operator.

    Attributes:
        operator: as torch names it, without its overload: `aten.convolution`.
        arguments: by the names of the operator's schema, defaults filled in.
        outputs: its tensors.
        weights: names of the arguments that are parameters or buffers, or views of them.
    """

    operator: str
    arguments: Mapping[str, Any]
    outputs: tuple[Tensor, ...]
    weights: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def has(self, name: str) -> bool:
        """Say whether the argument was given as something other than None."""
        return self.arguments.get(name) is not None

    def size(self, name: str) -> tuple[int, ...]:
        """Return the sizes of an argument."""
        return tuple(self.arguments[name].shape)

    def elements(self, name: str) -> int:
        """Return how many elements an argument has."""
        return prod(self.size(name))

    @property
    def out(self) -> tuple[int, ...]:
        """Return the sizes of the first output."""
        return tuple(self.outputs[0].shape)


@dataclass(frozen=True)
class Work:
    """The arithmetic of one operator; all zero for what only moves data.

    Attributes:
        kind: one of `KINDS`. A `move` copies and computes nothing; a `view` gives a tensor another shape or
            name, and not even copies.
        macs: multiplications whose results are summed up.
        additions: additions and subtractions outside of MACs.
        multiplications: multiplications and divisions outside of MACs.
        comparisons: comparisons, maxima and roundings.
        functions: evaluations of exp, tanh, erf, a root and the like.
        geometry: the sizes of the product, where it is one.
        part: which part of the operator it is, where a handle gives several.
        reads: arguments that this part reads; None is all of them.
        writes: whether this part writes the operator's outputs.
    """

    kind: str
    macs: int = 0
    additions: int = 0
    multiplications: int = 0
    comparisons: int = 0
    functions: int = 0
    geometry: Geometry | None = None
    part: str = ""
    reads: tuple[str, ...] | None = None
    writes: bool = True


Handle = Callable[[Call], Work | tuple[Work, ...]]
HANDLES: Registry[Mapping[str, Handle]] = Registry(
    "handles", "juggler.count.handles", alias="juggler.handles"
)


def all_handles() -> dict[str, Handle]:
    """Return every handle by the name of its operator.

    Other packages add theirs by an entry point of the group `juggler.count.handles`: such a mapping,
    by any name.
    """
    return {operator: handle for _, handles in HANDLES for operator, handle in handles.items()}


def per_element(kind: str, elements: int, each: tuple[int, int, int, int]) -> Work:
    """Return the work of so many additions, multiplications, comparisons and functions for each element."""
    additions, multiplications, comparisons, functions = (operations * elements for operations in each)
    return Work(kind, 0, additions, multiplications, comparisons, functions)


def as_complex(work: Work, operator: str) -> Work:
    """Return the work of an operator on complex numbers by what it would be on real ones.

    A complex multiplication is four real ones, an addition two, so that a product of matrices does what a
    real one of twice the rows and columns does. An absolute value is two squares, their sum and its root.
    """
    if operator in ("aten.angle", "aten.polar"):  # counted as what they are
        return work
    if operator == "aten.abs":
        return replace(
            work,
            additions=work.comparisons,
            multiplications=2 * work.comparisons,
            comparisons=0,
            functions=work.comparisons,
        )
    geometry = work.geometry
    if geometry is not None:
        ins, outs = 2 * geometry.in_channels, 2 * geometry.out_channels
        geometry = replace(geometry, in_channels=ins, out_channels=outs)
    return replace(
        work,
        macs=4 * work.macs,
        additions=2 * work.additions + 2 * work.multiplications,
        multiplications=4 * work.multiplications,
        functions=2 * work.functions,
        geometry=geometry,
    )
