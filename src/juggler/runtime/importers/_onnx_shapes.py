"""Computations on shapes, done at import time: exporters write `x.view(x.size(0), -1)` as five nodes.

What depends on constants alone was folded before; here remains what begins with `Shape`. Sizes are numbers
where they are known and names where they are free, so that a reshape can see that it keeps the batch.
"""

from __future__ import annotations

from juggler.runtime.importers._onnx_graph import Build, Handle, Op, Size, Sizes, Unsupported


def _shape(build: Build, op: Op) -> None:
    if op.attributes:
        raise Unsupported("it takes a part of the shape only")
    build.rank(op.inputs[0])
    build.sizes[op.outputs[0]] = list(build.shapes[op.inputs[0]])


def _gather(build: Build, op: Op) -> None:
    sizes = _list(build, op.inputs[0])
    index = build.constant(op, 1).tolist()
    picked: Sizes = [sizes[i] for i in index] if isinstance(index, list) else sizes[index]
    build.sizes[op.outputs[0]] = picked


def _slice(build: Build, op: Op) -> None:
    if op.inputs[0] not in build.sizes:
        raise Unsupported("it has an equal only in computations on shapes")
    start, end = (int(build.constant(op, index).item()) for index in (1, 2))
    step = int(build.constant(op, 4).item()) if op.has_input(4) else 1
    # ONNX writes "to the end" as the largest integer, which Python's slices take as well.
    build.sizes[op.outputs[0]] = _list(build, op.inputs[0])[start:end:step]


def _unsqueeze(build: Build, op: Op) -> None:
    size = _sizes(build, op.inputs[0])
    if isinstance(size, list):
        raise Unsupported("it adds an axis to something other than one size")
    build.sizes[op.outputs[0]] = [size]


def _squeeze(build: Build, op: Op) -> None:
    sizes = _list(build, op.inputs[0])
    if len(sizes) != 1:
        raise Unsupported("it takes an axis off something other than one size")
    build.sizes[op.outputs[0]] = sizes[0]


def _cast(build: Build, op: Op) -> None:
    build.sizes[op.outputs[0]] = _sizes(build, op.inputs[0])


def _concat(build: Build, op: Op) -> None:
    joined: list[Size] = []
    for name in op.inputs:
        joined += _list(build, name)
    build.sizes[op.outputs[0]] = joined


def _sizes(build: Build, name: str) -> Sizes:
    if name in build.constants:
        sizes: Sizes = build.constants[name].tolist()
        return sizes
    if name not in build.sizes:
        raise Unsupported("it has an equal only in computations on shapes")
    return build.sizes[name]


def _list(build: Build, name: str) -> list[Size]:
    sizes = _sizes(build, name)
    if not isinstance(sizes, list):
        raise Unsupported("it needs a list of sizes")
    return sizes


SHAPE_HANDLES: dict[str, Handle] = {
    "Cast": _cast,
    "Concat": _concat,
    "Gather": _gather,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}
