"""One node of an ONNX graph with the sizes of all that it reads and writes, and its work in torch's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import Any, NamedTuple

from juggler.count.work import Call, Work, all_handles
from juggler.count.work import Handle as TorchHandle

Shape = tuple[int, ...]


class Sized(NamedTuple):
    """What stands for a tensor where only its shape is asked for."""

    shape: Shape


@dataclass(frozen=True)
class Node:
    """A node, ready to be counted.

    Attributes:
        op: with its domain, where that is not ONNX's own: `Conv`, `com.microsoft.QGemm`.
        attributes: by name.
        inputs: shapes; None for one that is left out.
        outputs: shapes.
        weights: places of the inputs that are stored, or computed from what is.
        scalars: numbers of stored inputs of one element, by their places.
    """

    op: str
    attributes: Mapping[str, Any]
    inputs: tuple[Shape | None, ...]
    outputs: tuple[Shape, ...]
    weights: frozenset[int] = frozenset()
    scalars: Mapping[int, float] | None = None

    def has(self, place: int) -> bool:
        """Say whether an input is there."""
        return place < len(self.inputs) and self.inputs[place] is not None

    def size(self, place: int) -> Shape:
        """Return the shape of an input; that of a number for one that is left out."""
        return (self.inputs[place] if place < len(self.inputs) else None) or ()

    def elements(self, place: int = 0) -> int:
        """Return how many elements an input has."""
        return prod(self.size(place))

    @property
    def out(self) -> Shape:
        """Return the shape of the first output."""
        return self.outputs[0]

    def work(self, operator: str, inputs: Mapping[str, int | Shape] | None = None, **settings: Any) -> Any:
        """Return the work of an operator of torch on this node's inputs.

        Args:
            operator: of torch, such as `aten.convolution`.
            inputs: its arguments that are tensors: the place of the input, or another shape where the
                operator wants its input laid out otherwise; those that are left out stay so.
            settings: its other arguments.
        """
        places = {name: place for name, place in (inputs or {}).items() if isinstance(place, int)}
        shapes = {name: Sized(shape) for name, shape in (inputs or {}).items() if not isinstance(shape, int)}
        tensors = {n: Sized(self.size(place)) for n, place in places.items() if self.has(place)}
        weights = frozenset(name for name, place in places.items() if place in self.weights)
        call = Call(operator, {**tensors, **shapes, **settings}, (Sized(self.out),), weights)  # type: ignore[arg-type]
        works = _torch_handles()[operator](call)
        if isinstance(works, Work):
            return works
        reads = {name: str(place) for name, place in places.items()}
        return tuple(
            work
            if work.reads is None
            else replace(work, reads=tuple(reads.get(name, name) for name in work.reads))
            for work in works
        )


Handle = Callable[[Node], Work | tuple[Work, ...]]


@cache
def _torch_handles() -> Mapping[str, TorchHandle]:
    return all_handles()


def like(operator: str, *names: str, **settings: Any) -> Handle:
    """Return the handle of a node that does what an operator of torch does; names are of its inputs there."""
    return lambda node: node.work(operator, {name: place for place, name in enumerate(names)}, **settings)
