"""The torch.fx graph that the ONNX importer builds, node by node."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import fx, nn

from juggler.transform.tracing.builder import GraphBuilder

# What a computation on shapes gives: a number, the name of a free size, the node that computes it when the
# network runs, or a list of them.
Size: TypeAlias = int | float | str | fx.Node
Sizes: TypeAlias = Size | list[Size]


LONGEST = 80  # characters of a name
TAKEN = frozenset({"self", "training", "torch", "inf", "nan", "device", "fx_pytree", "pytree"})


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
        self._free: dict[str, fx.Node] = {}

    def value(self, name: str) -> fx.Node:
        """Return the node that computes a value; a constant becomes a buffer."""
        if name not in self.values and name in self.constants:
            self.values[name] = self.add_buffer("constant", tensor(self.constants[name]))
        if name not in self.values and name in self.sizes:
            sizes = self.sizes[name]
            if isinstance(sizes, str | fx.Node):
                self.values[name] = self.running(sizes)
            else:
                kind = self.dtype(name) if name in self.types else np.int64
                self.values[name] = self.add_buffer("sizes", tensor(np.array(self.numbers(name), kind)))
        if name not in self.values:
            raise Unsupported(f"its input {name!r} was not made")
        return self.values[name]

    def numbers(self, name: str) -> Any:
        """Return a constant, or what was computed from sizes that are known: a number or a list of them."""
        if name in self.constants:
            return self.constants[name].tolist()
        sizes = self.sizes.get(name)
        if sizes is None or not is_known(sizes):
            raise Unsupported(f"its input {name!r} is not a constant")
        return sizes

    def size_list(self, name: str) -> list[Size]:
        """Return a list of sizes, each known or free."""
        sizes: Any = self.constants[name].tolist() if name in self.constants else self.sizes.get(name)
        if sizes is None:
            raise Unsupported(f"its sizes, {name!r}, are neither constants nor computed from shapes")
        return sizes if isinstance(sizes, list) else [sizes]

    def running(self, size: Size) -> Any:
        """Return a size as the graph's functions take it: a number, or a node that gives it at run time."""
        if not isinstance(size, str):
            return size
        if size not in self._free:
            self._free[size] = self._measure(size)
        return self._free[size]

    def _measure(self, size: str) -> fx.Node:
        for name, shape in self.shapes.items():
            if size in shape and name in self.values:
                return self.graph.call_method("size", (self.values[name], shape.index(size)))
        raise Unsupported(f"the size {size!r} is free, and no value has it")

    def constant(self, op: Op, index: int) -> npt.NDArray[Any]:
        """Return an input that must be a constant."""
        name = op.inputs[index]
        if name not in self.constants:
            raise Unsupported(f"its input {name!r} is not a constant")
        return self.constants[name]

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the element type of a value, float32 where it is not known."""
        kind: npt.DTypeLike = onnx.helper.tensor_dtype_to_np_dtype(
            self.types.get(name) or onnx.TensorProto.FLOAT
        )
        return np.dtype(kind)

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


def is_known(sizes: object) -> bool:
    """Say whether all sizes are numbers."""
    parts: Sequence[object] = sizes if isinstance(sizes, list) else [sizes]
    return all(isinstance(part, int | float) for part in parts)


def identifier(name: str) -> str:
    """Return a name that Python, torch.fx and a module's own attributes leave free."""
    word = re.sub(r"[^0-9A-Za-z_]+", "_", name).strip("_").lower()[:LONGEST] or "node"
    word = f"n{word}" if word[0].isdigit() else word
    is_taken = keyword.iskeyword(word) or keyword.issoftkeyword(word) or hasattr(fx.GraphModule, word)
    return f"{word}_" if is_taken or word in TAKEN else word


def tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """Return a tensor that owns its memory."""
    return torch.from_numpy(np.array(array))


def parameter(array: npt.NDArray[Any]) -> nn.Parameter:
    """Return a parameter that owns its memory."""
    return nn.Parameter(tensor(array))
