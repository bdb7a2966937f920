"""Computations on shapes, done at import time: exporters write `x.view(x.size(0), -1)` as five nodes.

What depends on constants alone was folded before; here remains what begins with `Shape`. Sizes are numbers
where they are known and names where they are free, so that a reshape can see that it keeps the batch; what is
computed from free sizes becomes nodes that compute it when the network runs.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from onnx import numpy_helper

from juggler.runtime.importers._onnx_graph import Handle, OnnxBuilder, Op, Size, Sizes, Unsupported

FLOATS = frozenset({1, 10, 11, 16})  # ONNX's numbers of float, float16, double and bfloat16


def _shape(build: OnnxBuilder, op: Op) -> None:
    build.rank(op.inputs[0])
    sizes: list[Size] = list(build.shapes[op.inputs[0]])
    build.sizes[op.outputs[0]] = sizes[op.get("start", 0) : op.get("end", len(sizes))]


def _size(build: OnnxBuilder, op: Op) -> None:
    build.rank(op.inputs[0])
    total: Size = 1
    for size in build.shapes[op.inputs[0]]:
        total = _combine(build, operator.mul, total, size)
    build.sizes[op.outputs[0]] = total


def _gather_sizes(build: OnnxBuilder, op: Op) -> None:
    """Pick sizes out of a list."""
    sizes = _list(build, op.inputs[0])
    index = build.numbers(op.inputs[1])
    picked: Sizes = [sizes[i] for i in index] if isinstance(index, list) else sizes[index]
    build.sizes[op.outputs[0]] = picked


def _slice_sizes(build: OnnxBuilder, op: Op) -> None:
    """Cut a part out of a list of sizes."""
    old = op.get("starts") is not None  # before opset 10 these are attributes
    bounds = [op.get(name) for name in ("starts", "ends")] if old else map(build.numbers, op.inputs[1:3])
    start, end = (bound[0] if isinstance(bound, list) else bound for bound in bounds)
    step = build.numbers(op.inputs[4])[0] if op.has_input(4) else 1
    # ONNX writes "to the end" as the largest integer, which Python's slices take as well.
    build.sizes[op.outputs[0]] = _list(build, op.inputs[0])[start:end:step]


def _unsqueeze_sizes(build: OnnxBuilder, op: Op) -> None:
    """Make a list of one size."""
    size = _sizes(build, op.inputs[0])
    if isinstance(size, list):
        raise Unsupported("it adds an axis to something other than one size")
    build.sizes[op.outputs[0]] = [size]


def _squeeze_sizes(build: OnnxBuilder, op: Op) -> None:
    """Take the one size out of its list."""
    sizes = _list(build, op.inputs[0])
    if len(sizes) != 1:
        raise Unsupported("it takes an axis off something other than one size")
    build.sizes[op.outputs[0]] = sizes[0]


def _combine(build: OnnxBuilder, function: Callable[..., Any], left: Size, right: Size) -> Size:
    """Compute with two sizes, at once where both are known, else when the network runs."""
    numbers = [operand for operand in (left, right) if isinstance(operand, int | float)]
    if len(numbers) == 2:
        try:
            result: Size = function(left, right)
        except (ArithmeticError, ValueError) as error:
            raise Unsupported(f"it computes with sizes that it cannot take ({error})") from error
        return result
    if function is operator.mul and 1 in numbers:
        return right if left == 1 else left
    if (function in (operator.add, operator.sub) and right == 0) or (function in DIVISIONS and right == 1):
        return left
    return build.add_function(function, build.running(left), build.running(right))


def _arithmetic(function: Callable[..., Any]) -> Handle:
    """Compute with sizes; `x.view(n, groups, channels // groups, h, w)` is written so."""

    def handle(build: OnnxBuilder, op: Op) -> None:
        chosen = function
        if function is operator.floordiv and build.types.get(op.outputs[0]) in FLOATS:
            chosen = operator.truediv
        left, right = (_sizes(build, name) for name in op.inputs)
        if not isinstance(left, list) and not isinstance(right, list):
            build.sizes[op.outputs[0]] = _combine(build, chosen, left, right)
            return
        lefts, rights = (operand if isinstance(operand, list) else [operand] for operand in (left, right))
        most = max(len(lefts), len(rights))
        if {len(lefts), len(rights)} - {1, most}:
            raise Unsupported("it computes with lists of sizes that differ in length")
        build.sizes[op.outputs[0]] = [
            _combine(build, chosen, lefts[at % len(lefts)], rights[at % len(rights)]) for at in range(most)
        ]

    return handle


def _each(function: Callable[[Any], Any]) -> Handle:
    """Apply a function to each size."""

    def handle(build: OnnxBuilder, op: Op) -> None:
        sizes = _sizes(build, op.inputs[0])
        results = [
            function(size)
            if isinstance(size, int | float)
            else build.add_function(function, build.running(size))
            for size in (sizes if isinstance(sizes, list) else [sizes])
        ]
        build.sizes[op.outputs[0]] = results if isinstance(sizes, list) else results[0]

    return handle


def _cast_sizes(build: OnnxBuilder, op: Op) -> None:
    """Leave sizes as they are, or cut off what is behind the point."""
    if build.types.get(op.inputs[0]) in FLOATS and op.get("to") not in FLOATS:
        _each(int)(build, op)
    else:
        build.sizes[op.outputs[0]] = _sizes(build, op.inputs[0])


def _concat_sizes(build: OnnxBuilder, op: Op) -> None:
    """Join lists of sizes."""
    joined: list[Size] = []
    for name in op.inputs:
        joined += _list(build, name)
    build.sizes[op.outputs[0]] = joined


def _sizes(build: OnnxBuilder, name: str) -> Sizes:
    if name in build.constants:
        sizes: Sizes = build.constants[name].tolist()
        return sizes
    if name not in build.sizes:
        raise Unsupported("it has an equal only in computations on shapes")
    return build.sizes[name]


def known_numbers(build: OnnxBuilder, name: str) -> list[int]:
    """Return a list of whole numbers that is a constant, or was computed from sizes that are known."""
    numbers = build.numbers(name)
    return numbers if isinstance(numbers, list) else [numbers]


def _list(build: OnnxBuilder, name: str) -> list[Size]:
    sizes = _sizes(build, name)
    if not isinstance(sizes, list):
        raise Unsupported("it needs a list of sizes")
    return sizes


def _constant_of_shape(build: OnnxBuilder, op: Op) -> None:
    sizes = build.size_list(op.inputs[0])
    value = op.get("value")
    filling = np.zeros(1, np.float32) if value is None else np.array(numpy_helper.to_array(value))
    build.function(
        op,
        torch.full,
        tuple(map(build.running, sizes)),
        filling.reshape(-1)[0].item(),
        dtype=torch.from_numpy(filling).dtype,
    )


def _range(build: OnnxBuilder, op: Op) -> None:
    start, limit, step = (_sizes(build, name) for name in op.inputs)
    if any(isinstance(bound, list) for bound in (start, limit, step)):
        raise Unsupported("its bounds are no single numbers")
    dtype = torch.float32 if build.types.get(op.outputs[0]) == 1 else torch.int64
    build.function(op, torch.arange, *map(build.running, (start, limit, step)), dtype=dtype)  # type: ignore[arg-type]


def _expand(build: OnnxBuilder, op: Op) -> None:
    sizes = build.size_list(op.inputs[1])
    have = build.shapes.get(op.inputs[0], ())
    behind = [None] * (len(sizes) - len(have)) + list(have)
    sizes = [1] * (len(behind) - len(sizes)) + sizes
    # A 1 keeps the size that is there; torch writes it as -1, for which it must be there.
    new = [
        -1 if old is not None and size in (1, old) else size for old, size in zip(behind, sizes, strict=True)
    ]
    if not have and not sizes:
        raise Unsupported("its shapes are not known")
    build.function(op, torch.broadcast_to, build.value(op.inputs[0]), tuple(map(build.running, new)))


def _tile(build: OnnxBuilder, op: Op) -> None:
    repeats = tuple(map(build.running, build.size_list(op.inputs[1])))
    build.function(op, torch.tile, build.value(op.inputs[0]), repeats)


DIVISIONS = (operator.floordiv, operator.truediv)

# Of ops that have another handle for values; these are for sizes.
SIZE_HANDLES: dict[str, Handle] = {
    "Cast": _cast_sizes,
    "Concat": _concat_sizes,
    "Gather": _gather_sizes,
    "Slice": _slice_sizes,
    "Squeeze": _squeeze_sizes,
    "Unsqueeze": _unsqueeze_sizes,
    "Add": _arithmetic(operator.add),
    "Div": _arithmetic(operator.floordiv),  # ONNX divides whole numbers so, and sizes are not negative
    "Equal": _arithmetic(operator.eq),
    "Greater": _arithmetic(operator.gt),
    "Less": _arithmetic(operator.lt),
    "Max": _arithmetic(max),
    "Min": _arithmetic(min),
    "Mod": _arithmetic(operator.mod),
    "Mul": _arithmetic(operator.mul),
    "Sub": _arithmetic(operator.sub),
    "Ceil": _each(math.ceil),
    "Floor": _each(math.floor),
    "Neg": _each(operator.neg),
    "Not": _each(operator.not_),
}

SHAPE_HANDLES: dict[str, Handle] = {
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Range": _range,
    "Shape": _shape,
    "Size": _size,
    "Tile": _tile,
}
