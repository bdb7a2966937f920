"""Handles of the ONNX ops that move values about: cut, join, reorder, reshape, repeat and pad."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from juggler.runtime.importers._onnx_graph import Handle, OnnxBuilder, Op, Unsupported, tensor
from juggler.runtime.importers._onnx_shapes import known_numbers
from juggler.runtime.importers._onnx_windows import torch_pads

PADDING = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "wrap"}


def _concat(build: OnnxBuilder, op: Op) -> None:
    build.function(op, torch.cat, [build.value(name) for name in op.inputs], dim=op.get("axis"))


def _flatten(build: OnnxBuilder, op: Op) -> None:
    """Join the axes before one, and those from it on: a matrix."""
    axis, rank = op.get("axis", 1), build.rank(op.inputs[0])
    axis = axis + rank if axis < 0 else axis
    if axis == 1:
        build.module(op, nn.Flatten(1))
        return
    value = build.value(op.inputs[0])
    if axis == 0:
        build.function(op, torch.reshape, value, (1, -1))
        return
    last = build.add_function(torch.unsqueeze, value, -1) if axis == rank else value
    joined = build.add_function(torch.flatten, last, axis)
    build.function(op, torch.flatten, joined, 0, axis - 1)


def _reshape(build: OnnxBuilder, op: Op) -> None:
    """Flatten, or reshape; the batch is left free where the new shape keeps it."""
    shape = build.size_list(op.inputs[1]) if op.has_input(1) else list(op.get("shape") or [])
    have = build.shapes.get(op.inputs[0])
    if have is None:
        raise Unsupported("its shapes are not known")
    known_sizes = [size for size in shape if isinstance(size, int)]
    if shape.count(-1) > 1 or min(known_sizes, default=0) < -1:
        raise Unsupported(f"it makes {shape}, which is no shape")
    if not op.get("allowzero", 0):  # a 0 keeps the size at its place
        shape = [have[at] if size == 0 and at < len(have) else size for at, size in enumerate(shape)]
    target = _with_rest(list(have), list(shape))
    value = build.value(op.inputs[0])
    keeps_batch = (
        bool(target)
        and bool(have)
        and (target[0] == have[0] or (shape[0] == -1 and _keeps_rows(have, target)))
    )
    if keeps_batch and len(target) == 2 and target[1] in (-1, _product(have[1:])):
        build.module(op, nn.Flatten(1))
    elif keeps_batch and -1 not in target[1:]:
        build.function(op, torch.reshape, value, (-1, *map(build.running, target[1:])))
    else:
        build.function(op, torch.reshape, value, tuple(map(build.running, target)))


def _with_rest(have: list[Any], shape: list[Any]) -> list[Any]:
    """Work out the size that is written as -1, where what is left for it is known."""
    if shape.count(-1) != 1:
        return shape
    at = shape.index(-1)
    before, after = list(have), [size for size in shape if size != -1]
    for size in list(after):  # what stands on both sides, such as a free batch
        if size in before:
            before.remove(size)
            after.remove(size)
    total, rest = _product(before), _product(after)
    if total is None or not rest or total % rest:
        return shape
    return [*shape[:at], total // rest, *shape[at + 1 :]]


def _keeps_rows(have: Any, target: list[Any]) -> bool:
    """Say whether what lies behind the first size stays as large as it was."""
    behind = _product(list(have[1:]))
    return behind is not None and behind == _product(target[1:])


def _product(sizes: Any) -> int | None:
    """Return the product of sizes that are all known."""
    known = [size for size in sizes if isinstance(size, int) and size >= 0]
    return math.prod(known) if len(known) == len(sizes) else None


def _transpose(build: OnnxBuilder, op: Op) -> None:
    order = op.get("perm") or list(reversed(range(build.rank(op.inputs[0]))))
    build.function(op, torch.permute, build.value(op.inputs[0]), tuple(order))


def _axes(build: OnnxBuilder, op: Op, rank: int) -> list[int]:
    axes = op.get("axes") or known_numbers(build, op.inputs[1])
    if any(not -rank <= axis < rank for axis in axes):
        raise Unsupported(f"its axes are {axes}, of {rank}")
    return sorted(axis % rank for axis in axes)


def _squeeze(build: OnnxBuilder, op: Op) -> None:
    shape = build.shapes.get(op.inputs[0])
    if shape is None:
        raise Unsupported("the shape of its input is not known")
    if op.get("axes") or op.has_input(1):
        axes = _axes(build, op, len(shape))
    elif all(isinstance(size, int) for size in shape):
        axes = [axis for axis, size in enumerate(shape) if size == 1]
    else:
        raise Unsupported("it names no axes, and a size is free")
    build.function(op, torch.squeeze, build.value(op.inputs[0]), tuple(axes))


def _unsqueeze(build: OnnxBuilder, op: Op) -> None:
    axes = op.get("axes") or known_numbers(build, op.inputs[1])
    value = build.value(op.inputs[0])
    for axis in _axes(build, op, build.rank(op.inputs[0]) + len(axes)):
        value = build.add_function(torch.unsqueeze, value, axis)
    build.values[op.outputs[0]] = value


def _slice(build: OnnxBuilder, op: Op) -> None:
    old = op.get("starts") is not None  # before opset 10 these are attributes
    starts = op.get("starts") if old else build.size_list(op.inputs[1])
    ends = op.get("ends") if old else build.size_list(op.inputs[2])
    axes = op.get("axes") if old else known_numbers(build, op.inputs[3]) if op.has_input(3) else None
    steps = known_numbers(build, op.inputs[4]) if not old and op.has_input(4) else [1] * len(starts)
    rank, value = build.rank(op.inputs[0]), build.value(op.inputs[0])
    cuts = [slice(None)] * rank
    for axis, start, end, step in zip(axes or range(len(starts)), starts, ends, steps, strict=True):
        if step > 0:
            # ONNX writes "to the end" as the largest integer, which Python's slices take as well.
            cuts[axis % rank] = slice(build.running(start), build.running(end), step)
        else:
            value = _backwards(build, op, value, axis % rank, slice(start, end, step))
    if all(cut == slice(None) for cut in cuts):
        build.values[op.outputs[0]] = value
    else:
        build.function(op, operator.getitem, value, tuple(cuts))


def _backwards(build: OnnxBuilder, op: Op, value: fx.Node, axis: int, cut: slice) -> fx.Node:
    """Take places from the last to the first along one axis, for which torch has no slice."""
    size = build.shapes[op.inputs[0]][axis]
    if not isinstance(size, int) or not isinstance(cut.start, int) or not isinstance(cut.stop, int):
        raise Unsupported("it runs backwards along a size that is free")
    start = min(cut.start if cut.start >= 0 else cut.start + size, size - 1)
    end = cut.stop if cut.stop >= 0 else max(cut.stop + size, -1)
    places = torch.arange(start, end, cut.step) if start > end else torch.zeros(0, dtype=torch.int64)
    index = build.add_buffer(f"{op.name}_places", places)
    return build.add_function(torch.index_select, value, axis, index)


def _split(build: OnnxBuilder, op: Op) -> None:
    axis, shape = op.get("axis", 0), build.shapes.get(op.inputs[0], ())
    sizes = op.get("split") or (known_numbers(build, op.inputs[1]) if op.has_input(1) else None)
    if sizes is None:
        size = shape[axis] if shape else None
        if not isinstance(size, int):
            raise Unsupported("the size that it splits is not known")
        piece = -(-size // len(op.outputs))
        sizes = [max(0, min(piece, size - piece * at)) for at in range(len(op.outputs))]
    pieces = build.add_function(torch.split, build.value(op.inputs[0]), list(sizes), axis)
    for at, name in enumerate(op.outputs):
        build.values[name] = build.add_function(operator.getitem, pieces, at)


def _pad(build: OnnxBuilder, op: Op) -> None:
    mode, rank = op.get("mode", "constant"), build.rank(op.inputs[0])
    if mode not in PADDING:
        raise Unsupported(f"its mode is {mode}")
    filling = build.constant(op, 2).item() if op.has_input(2) else op.get("value", 0.0)
    pads = list(op.get("pads") or op.get("paddings") or known_numbers(build, op.inputs[1]))
    if op.has_input(3):
        pads = _on_all_axes(pads, known_numbers(build, op.inputs[3]), rank)
    if len(pads) != 2 * rank:
        raise Unsupported(f"it pads by {len(pads)} numbers for {rank} axes")
    value = build.value(op.inputs[0])
    if mode != "constant":
        _pad_by_values(build, op, mode, pads)
    elif filling == 0.0:
        build.function(op, functional.pad, value, torch_pads(pads))
    else:
        build.function(op, functional.pad, value, torch_pads(pads), value=filling)


def _on_all_axes(pads: list[int], axes: list[int], rank: int) -> list[int]:
    """Spread pads of some axes over all."""
    spread = [0] * (2 * rank)
    for at, axis in enumerate(axes):
        spread[axis % rank], spread[axis % rank + rank] = pads[at], pads[at + len(axes)]
    return spread


def _pad_by_values(build: OnnxBuilder, op: Op, mode: str, pads: list[int]) -> None:
    """Reflect, repeat or wrap: by torch along both sides of pictures, else place by place along each axis."""
    rank, value, shape = build.rank(op.inputs[0]), build.value(op.inputs[0]), build.shapes[op.inputs[0]]
    if mode != "wrap" and rank == 4 and not any([*pads[:2], *pads[4:6]]) and min(pads) >= 0:
        build.function(op, functional.pad, value, torch_pads(pads)[:4], PADDING[mode])
        return
    for axis, (begin, end) in enumerate(zip(pads[:rank], pads[rank:], strict=True)):
        size = shape[axis]
        if (begin, end) == (0, 0):
            continue
        if not isinstance(size, int):
            raise Unsupported(f"its mode is {mode}, and the size is free")
        inner = np.arange(size)[max(0, -begin) : size - max(0, -end)]
        places = np.pad(inner, (max(0, begin), max(0, end)), mode)  # type: ignore[call-overload]
        index = build.add_buffer(f"{op.name}_places", torch.from_numpy(places))
        value = build.add_function(torch.index_select, value, axis, index)
    build.values[op.outputs[0]] = value


def _depth_to_space(build: OnnxBuilder, op: Op) -> None:
    side = op.get("blocksize")
    if op.get("mode", "DCR") == "CRD":
        build.module(op, nn.PixelShuffle(side))
        return
    channels = _channels(build, op, side)
    parts = build.add_function(torch.unflatten, build.value(op.inputs[0]), 1, (side * side, channels))
    turned = build.add_function(torch.transpose, parts, 1, 2)
    build.values[op.outputs[0]] = build.add_module(
        op.name, nn.PixelShuffle(side), build.add_function(torch.flatten, turned, 1, 2)
    )


def _space_to_depth(build: OnnxBuilder, op: Op) -> None:
    side, channels = op.get("blocksize"), build.shapes.get(op.inputs[0], (0, 0))[1]
    if not isinstance(channels, int):
        raise Unsupported("its channels are free")
    deep = build.add_module(op.name, nn.PixelUnshuffle(side), build.value(op.inputs[0]))
    parts = build.add_function(torch.unflatten, deep, 1, (channels, side * side))
    turned = build.add_function(torch.transpose, parts, 1, 2)
    build.function(op, torch.flatten, turned, 1, 2)


def _channels(build: OnnxBuilder, op: Op, side: int) -> int:
    channels = build.shapes.get(op.inputs[0], (0, 0))[1]
    if not isinstance(channels, int) or channels % (side * side):
        raise Unsupported("its channels are free, or do not fill its blocks")
    return channels // (side * side)


def _gather(build: OnnxBuilder, op: Op) -> None:
    """Pick rows along an axis by constants, or by what the network computes."""
    rank = build.rank(op.inputs[0])
    axis = op.get("axis", 0) % rank
    size, table = build.shapes[op.inputs[0]][axis], build.constants.get(op.inputs[0])
    if table is not None and table.ndim == 2 and axis == 0 and op.inputs[1] not in build.constants:
        embedding = nn.Embedding(len(table), table.shape[1], _weight=tensor(table)).requires_grad_(False)
        build.module(op, embedding, build.value(op.inputs[1]))
        return
    value = build.value(op.inputs[0])
    if op.inputs[1] not in build.constants:
        index = build.value(op.inputs[1])
        before = (slice(None),) * axis
        build.function(op, operator.getitem, value, (*before, index))
        return
    places = build.constants[op.inputs[1]]
    if places.ndim == 0:
        build.function(op, torch.select, value, axis, int(places))
        return
    if (places < 0).any():
        if not isinstance(size, int):
            raise Unsupported("it counts from the end of a size that is free")
        places = np.where(places < 0, places + size, places)
    index = build.add_buffer(f"{op.name}_places", torch.from_numpy(places.reshape(-1).astype(np.int64)))
    picked = build.add_function(torch.index_select, value, axis, index)
    if places.ndim == 1:
        build.values[op.outputs[0]] = picked
    else:
        build.function(op, torch.unflatten, picked, axis, tuple(places.shape))


def _gather_elements(build: OnnxBuilder, op: Op) -> None:
    if op.inputs[1] in build.constants and (build.constants[op.inputs[1]] < 0).any():
        raise Unsupported("it counts from the end")
    index = build.value(op.inputs[1])
    build.function(op, torch.gather, build.value(op.inputs[0]), op.get("axis", 0), index)


def _trilu(build: OnnxBuilder, op: Op) -> None:
    diagonal = known_numbers(build, op.inputs[1])[0] if op.has_input(1) else 0
    build.function(op, torch.triu if op.get("upper", 1) else torch.tril, build.value(op.inputs[0]), diagonal)


MOVE_HANDLES: dict[str, Handle] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
