"""Handles of the ONNX ops that move values about: cut, join, reorder, reshape, repeat and pad."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from juggler.runtime.importers._onnx_graph import Handle, OnnxBuilder, Op, Unsupported
from juggler.runtime.importers._onnx_shapes import SHAPE_HANDLES, known_numbers
from juggler.runtime.importers._onnx_windows import torch_pads

PADDING = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}
# Torch's names of the modes that weigh neighbours, by the number of dimensions.
WEIGHED = {"linear": {3: "linear", 4: "bilinear", 5: "trilinear"}, "cubic": {4: "bicubic"}}
# How the place of an output is taken to its input, with rounding that for whole factors repeats each value.
REPEATING = {
    ("asymmetric", "floor"),
    *(
        (mode, way)
        for mode in ("half_pixel", "pytorch_half_pixel")
        for way in ("round_prefer_floor", "round_prefer_ceil")
    ),
}


def _concat(build: OnnxBuilder, op: Op) -> None:
    if any(name in build.sizes for name in op.inputs):
        SHAPE_HANDLES["Concat"](build, op)
    else:
        build.function(op, torch.cat, [build.value(name) for name in op.inputs], dim=op.get("axis"))


def _flatten(build: OnnxBuilder, op: Op) -> None:
    if op.get("axis", 1) != 1:
        raise Unsupported(f"its axis is {op.get('axis')}, not 1")
    build.module(op, nn.Flatten(1))


def _reshape(build: OnnxBuilder, op: Op) -> None:
    """Flatten, or reshape behind the batch; the batch itself must stay."""
    shape = build.sizes.get(op.inputs[1])
    if shape is None:
        shape = build.constant(op, 1).tolist()
    have = build.shapes.get(op.inputs[0])
    if not isinstance(shape, list) or not shape or have is None:
        raise Unsupported("its shapes are not known")
    if not op.get("allowzero", 0):  # a 0 keeps the size at its place
        shape = [have[at] if size == 0 and at < len(have) else size for at, size in enumerate(shape)]
    behind, target = list(have[1:]), list(shape[1:])
    known = math.prod(s for s in behind if isinstance(s, int)) if _all_numbers(behind) else None
    if known is not None and target.count(-1) == 1 and _all_numbers(target):
        rest = math.prod(size for size in target if isinstance(size, int) and size != -1)
        target = [known // rest if size == -1 and rest else size for size in target]
    free_batch = shape[0] == -1 and known is not None and known == math.prod(map(_number, target))
    if not (shape[0] == have[0] or free_batch):
        raise Unsupported(f"it makes {shape} of {list(have)}, which mixes the batch with the rest")
    if len(target) == 1 and target[0] in (-1, known):
        build.module(op, nn.Flatten(1))
    elif all(isinstance(s, int) and s > 0 for s in target):
        build.function(op, torch.reshape, build.value(op.inputs[0]), (-1, *target))
    else:
        raise Unsupported(f"it makes {shape} of {list(have)}")


def _all_numbers(sizes: list[Any]) -> bool:
    return all(isinstance(size, int) for size in sizes)


def _number(size: Any) -> int:
    return size if isinstance(size, int) and size > 0 else -1


def _transpose(build: OnnxBuilder, op: Op) -> None:
    order = op.get("perm") or list(reversed(range(build.rank(op.inputs[0]))))
    build.function(op, torch.permute, build.value(op.inputs[0]), tuple(order))


def _axes(build: OnnxBuilder, op: Op, rank: int) -> list[int]:
    axes = op.get("axes") or (build.constant(op, 1).tolist() if op.has_input(1) else None)
    if axes is None:
        raise Unsupported("it names no axes")
    return sorted(axis % rank for axis in ([axes] if isinstance(axes, int) else axes))


def _squeeze(build: OnnxBuilder, op: Op) -> None:
    if op.inputs[0] in build.sizes:
        SHAPE_HANDLES["Squeeze"](build, op)
        return
    axes = _axes(build, op, build.rank(op.inputs[0]))
    build.function(op, torch.squeeze, build.value(op.inputs[0]), tuple(axes))


def _unsqueeze(build: OnnxBuilder, op: Op) -> None:
    if op.inputs[0] in build.sizes:
        SHAPE_HANDLES["Unsqueeze"](build, op)
        return
    axes = op.get("axes") or build.constant(op, 1).reshape(-1).tolist()
    value = build.value(op.inputs[0])
    for axis in _axes(build, op, build.rank(op.inputs[0]) + len(axes)):
        value = build.add_function(torch.unsqueeze, value, axis)
    build.values[op.outputs[0]] = value


def _slice(build: OnnxBuilder, op: Op) -> None:
    if op.inputs[0] in build.sizes:
        SHAPE_HANDLES["Slice"](build, op)
        return
    old = op.get("starts") is not None  # before opset 10 these are attributes
    starts = op.get("starts") if old else known_numbers(build, op.inputs[1])
    ends = op.get("ends") if old else known_numbers(build, op.inputs[2])
    axes = op.get("axes") if old else build.constant(op, 3).tolist() if op.has_input(3) else None
    steps = build.constant(op, 4).tolist() if not old and op.has_input(4) else [1] * len(starts)
    rank = build.rank(op.inputs[0])
    if min(steps) < 1:
        raise Unsupported("it runs backwards")
    cuts = [slice(None)] * rank
    for axis, start, end, step in zip(axes or range(len(starts)), starts, ends, steps, strict=True):
        # ONNX writes "to the end" as the largest integer, which Python's slices take as well.
        cuts[axis % rank] = slice(start, end, step)
    build.function(op, operator.getitem, build.value(op.inputs[0]), tuple(cuts))


def _split(build: OnnxBuilder, op: Op) -> None:
    axis, shape = op.get("axis", 0), build.shapes.get(op.inputs[0], ())
    sizes = op.get("split") or (build.constant(op, 1).tolist() if op.has_input(1) else None)
    if sizes is None:
        size = shape[axis] if shape else None
        if not isinstance(size, int):
            raise Unsupported("the size that it splits is not known")
        piece = -(-size // len(op.outputs))
        sizes = [min(piece, size - piece * at) for at in range(len(op.outputs))]
    pieces = build.add_function(torch.split, build.value(op.inputs[0]), list(sizes), axis)
    for at, name in enumerate(op.outputs):
        build.values[name] = build.add_function(operator.getitem, pieces, at)


def _pad(build: OnnxBuilder, op: Op) -> None:
    mode = op.get("mode", "constant")
    if mode not in PADDING or op.has_input(3):
        raise Unsupported("only constant, reflected and repeated padding of all axes has an equal")
    filling = build.constant(op, 2).item() if op.has_input(2) else op.get("value", 0.0)
    pads = torch_pads(list(op.get("pads") or build.constant(op, 1).tolist()))
    if mode != "constant":
        while len(pads) > 2 and pads[-2:] == [0, 0]:  # torch repeats and reflects along the last axes only
            pads = pads[:-2]
        build.function(op, functional.pad, build.value(op.inputs[0]), pads, PADDING[mode])
    elif filling == 0.0:
        build.function(op, functional.pad, build.value(op.inputs[0]), pads)
    else:
        build.function(op, functional.pad, build.value(op.inputs[0]), pads, value=filling)


def _resize(build: OnnxBuilder, op: Op) -> None:
    shape = build.shapes.get(op.inputs[0], ())
    size = _size(build, op, shape)
    mode, how = op.get("mode", "nearest"), _transformation(op)
    if mode == "nearest":
        way = op.get("nearest_mode", "floor" if op.kind == "Upsample" else "round_prefer_floor")
        factors = size.get("scale_factor", ())
        if (how, way) not in REPEATING or not factors or any(factor % 1 for factor in factors):
            raise Unsupported(f"it takes the nearest by {how} and {way}, or by a factor that is not whole")
        build.module(op, nn.Upsample(scale_factor=factors, mode="nearest"))
        return
    names, corners = WEIGHED.get(mode, {}), how == "align_corners"
    is_smooth, is_cubic = bool(op.get("antialias", 0)), mode == "cubic"
    if len(shape) not in names or not (corners or how == "half_pixel"):
        raise Unsupported(f"its mode is {mode} by {how}, over {len(shape)} axes")
    if is_cubic and (is_smooth or op.get("cubic_coeff_a", -0.75) != -0.75):
        raise Unsupported("its cubic coefficient is not torch's")
    if op.get("exclude_outside", 0) and not is_smooth:
        raise Unsupported("it leaves out what lies outside, without antialias")
    if is_smooth:
        if corners or len(shape) != 4:
            raise Unsupported(f"it has antialias by {how}, over {len(shape)} axes")
        source = build.value(op.inputs[0])
        build.function(op, functional.interpolate, source, **size, mode=names[len(shape)], antialias=True)
    else:
        build.module(op, nn.Upsample(**size, mode=names[len(shape)], align_corners=corners))


def _transformation(op: Op) -> str:
    """Return how places of the output go to its input; torch's old way is today's, but for one pixel."""
    how: str = op.get(
        "coordinate_transformation_mode", "asymmetric" if op.kind == "Upsample" else "half_pixel"
    )
    return "half_pixel" if how == "pytorch_half_pixel" else how


def _size(build: OnnxBuilder, op: Op, shape: Any) -> dict[str, Any]:
    """Return what torch is told of the size: factors where they are whole, else sizes: no rounding."""
    scales, sizes = _scales(build, op, shape)
    if len(scales) != len(shape) or scales[:2] != [1.0, 1.0]:
        raise Unsupported("it changes the batch or the channels, or its shape is not known")
    if _is_old_torch(op) and (not sizes or 1 in sizes[2:]):
        raise Unsupported(
            "it takes places as old releases of torch did, which differ where one pixel is made"
        )
    if sizes and any(factor % 1 for factor in scales[2:]):
        return {"size": tuple(sizes[2:])}
    return {"scale_factor": tuple(scales[2:])}


def _is_old_torch(op: Op) -> bool:
    return bool(
        op.get("coordinate_transformation_mode") == "pytorch_half_pixel" and op.get("mode") != "nearest"
    )


def _scales(build: OnnxBuilder, op: Op, shape: Any) -> tuple[list[float], list[int]]:
    """Return by how much each axis grows, and the sizes that it makes where the model gives those."""
    if op.kind == "Upsample" and op.get("scales"):
        return [float(factor) for factor in op.get("scales")], []
    at = 1 if op.kind == "Upsample" or build.opset < 11 else 2
    if op.has_input(at) and build.constant(op, at).size:
        return [float(factor) for factor in build.constant(op, at).tolist()], []
    if op.get("axes") or op.get("keep_aspect_ratio_policy", "stretch") != "stretch" or not op.has_input(3):
        raise Unsupported("its size is not given for all axes")
    computed = build.sizes.get(op.inputs[3])
    sizes: Any = build.constant(op, 3).tolist() if computed is None else computed
    pairs = list(zip(sizes, shape, strict=False))
    if not all(new == old or (isinstance(new, int) and isinstance(old, int)) for new, old in pairs):
        raise Unsupported("the sizes that it makes are free")
    return [1.0 if new == old else new / old for new, old in pairs], list(sizes)


def _depth_to_space(build: OnnxBuilder, op: Op) -> None:
    if op.get("mode", "DCR") != "CRD":
        raise Unsupported("its channels are not in torch's order")
    build.module(op, nn.PixelShuffle(op.get("blocksize")))


MOVE_HANDLES: dict[str, Handle] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Flatten": _flatten,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
