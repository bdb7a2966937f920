"""The torch.fx graph that the ONNX importer builds, node by node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from juggler.transform.tracing.builder import GraphBuilder

# What a computation on shapes gives: a number, the name of a free size, or a list of them.
Size: TypeAlias = int | str
Sizes: TypeAlias = Size | list[Size]


class Unsupported(Exception):  # noqa: N818  # caught by the importer, which reports all of them at once
    """An op has no equal here; the text says why."""


@dataclass(frozen=True)
class Op:
    """One ONNX node, its attributes as plain values."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def get(self, attribute: str, default: Any = None) -> Any:
        """Return an attribute, or the default."""
        return self.attributes.get(attribute, default)

    def has_input(self, index: int) -> bool:
        """Say whether an optional input is given."""
        return len(self.inputs) > index and self.inputs[index] != ""


class OnnxBuilder(GraphBuilder):
    """Everything known about the graph so far, by ONNX value name.

    Attributes:
        values: fx nodes that compute values.
        constants: weights and constants.
        sizes: results of computations on shapes.
        shapes: shapes that are known, numbers and names of free sizes.
        types: element types that are known, as ONNX numbers them.
    """

    def __init__(self, shapes: dict[str, tuple[Size, ...]], types: dict[str, int], opset: int) -> None:
        super().__init__()
        self.shapes, self.types, self.opset = shapes, types, opset
        self.values: dict[str, fx.Node] = {}
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self.sizes: dict[str, Sizes] = {}
        self._missing: fx.Node | None = None

    def value(self, name: str) -> fx.Node:
        """Return the node that computes a value; a constant becomes a buffer."""
        if name not in self.values and name in self.constants:
            self.values[name] = self.add_buffer("constant", tensor(self.constants[name]))
        if name not in self.values:
            raise Unsupported(f"its input {name!r} is a computation on shapes")
        return self.values[name]

    def constant(self, op: Op, index: int) -> npt.NDArray[Any]:
        """Return an input that must be a constant."""
        name = op.inputs[index]
        if name not in self.constants:
            raise Unsupported(f"its input {name!r} is not a constant")
        return self.constants[name]

    def rank(self, name: str) -> int:
        """Return the number of dimensions of a value."""
        if name not in self.shapes:
            raise Unsupported(f"the shape of {name!r} is not known")
        return len(self.shapes[name])

    def module(self, op: Op, module: nn.Module, source: fx.Node | None = None) -> None:
        """Let a module compute the op's output from its first input, or from `source`."""
        self.values[op.outputs[0]] = self.add_module(op.name, module, source or self.value(op.inputs[0]))

    def function(self, op: Op, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Let a function compute the op's output."""
        self.values[op.outputs[0]] = self.add_function(function, *arguments, **options)

    def missing(self) -> fx.Node:
        """Return a stand-in for what could not be built, so that the rest can still be looked at."""
        if self._missing is None:
            self._missing = self.graph.placeholder("missing")
        return self._missing


Handle: TypeAlias = Callable[[OnnxBuilder, Op], None]


def tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """Return a tensor that owns its memory."""
    return torch.from_numpy(np.array(array))


def parameter(array: npt.NDArray[Any]) -> nn.Parameter:
    """Return a parameter that owns its memory."""
    return nn.Parameter(tensor(array))
