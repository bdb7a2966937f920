"""Computations on shapes, done at import time: exporters write `x.view(x.size(0), -1)` as five nodes.

What depends on constants alone was folded before; here remains what begins with `Shape`. Sizes are numbers
where they are known and names where they are free, so that a reshape can see that it keeps the batch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from juggler.runtime.importers._onnx_graph import Handle, OnnxBuilder, Op, Size, Sizes, Unsupported


def _shape(build: OnnxBuilder, op: Op) -> None:
    if op.attributes:
        raise Unsupported("it takes a part of the shape only")
    build.rank(op.inputs[0])
    build.sizes[op.outputs[0]] = list(build.shapes[op.inputs[0]])


def _gather(build: OnnxBuilder, op: Op) -> None:
    sizes = _list(build, op.inputs[0])
    index = build.constant(op, 1).tolist()
    picked: Sizes = [sizes[i] for i in index] if isinstance(index, list) else sizes[index]
    build.sizes[op.outputs[0]] = picked


def _slice(build: OnnxBuilder, op: Op) -> None:
    if op.inputs[0] not in build.sizes:
        raise Unsupported("it has an equal only in computations on shapes")
    start, end = (int(build.constant(op, index).item()) for index in (1, 2))
    step = int(build.constant(op, 4).item()) if op.has_input(4) else 1
    # ONNX writes "to the end" as the largest integer, which Python's slices take as well.
    build.sizes[op.outputs[0]] = _list(build, op.inputs[0])[start:end:step]


def _unsqueeze(build: OnnxBuilder, op: Op) -> None:
    size = _sizes(build, op.inputs[0])
    if isinstance(size, list):
        raise Unsupported("it adds an axis to something other than one size")
    build.sizes[op.outputs[0]] = [size]


def _squeeze(build: OnnxBuilder, op: Op) -> None:
    sizes = _list(build, op.inputs[0])
    if len(sizes) != 1:
        raise Unsupported("it takes an axis off something other than one size")
    build.sizes[op.outputs[0]] = sizes[0]


def _arithmetic(function: Callable[[int, int], int]) -> Handle:
    """Compute with sizes that are known; `x.view(n, groups, channels // groups, h, w)` is written so."""

    def size(left: Size, right: Size) -> Size:
        if isinstance(left, int) and isinstance(right, int):
            return function(left, right)
        if function is operator.mul and 1 in (left, right):
            return right if left == 1 else left
        raise Unsupported("it computes with a size that is free")

    def handle(build: OnnxBuilder, op: Op) -> None:
        left, right = (_sizes(build, name) for name in op.inputs)
        if not isinstance(left, list) and not isinstance(right, list):
            build.sizes[op.outputs[0]] = size(left, right)
            return
        lefts, rights = (operand if isinstance(operand, list) else [operand] for operand in (left, right))
        most = max(len(lefts), len(rights))
        if {len(lefts), len(rights)} - {1, most}:
            raise Unsupported("it computes with lists of sizes that differ in length")
        build.sizes[op.outputs[0]] = [
            size(lefts[at % len(lefts)], rights[at % len(rights)]) for at in range(most)
        ]

    return handle


def _cast(build: OnnxBuilder, op: Op) -> None:
    build.sizes[op.outputs[0]] = _sizes(build, op.inputs[0])


def _concat(build: OnnxBuilder, op: Op) -> None:
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
    if name in build.constants:
        numbers: list[int] = build.constants[name].reshape(-1).tolist()
        return numbers
    sizes = build.sizes.get(name)
    parts = sizes if isinstance(sizes, list) else [sizes]
    numbers = [size for size in parts if isinstance(size, int)]
    if len(numbers) != len(parts):
        raise Unsupported(f"its input {name!r} is not a constant")
    return numbers


def _list(build: OnnxBuilder, name: str) -> list[Size]:
    sizes = _sizes(build, name)
    if not isinstance(sizes, list):
        raise Unsupported("it needs a list of sizes")
    return sizes


SIZE_ARITHMETIC: dict[str, Handle] = {
    "Add": _arithmetic(operator.add),
    "Div": _arithmetic(operator.floordiv),  # ONNX divides whole numbers so, and sizes are not negative
    "Mul": _arithmetic(operator.mul),
    "Sub": _arithmetic(operator.sub),
}

SHAPE_HANDLES: dict[str, Handle] = {
    "Cast": _cast,
    "Concat": _concat,
    "Gather": _gather,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}
