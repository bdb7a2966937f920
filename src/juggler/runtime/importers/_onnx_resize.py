"""Resize and Upsample, every form of them: torch's own where it has an equal, else weights worked out here.

Resizing is linear and goes axis by axis: along each, an output is a weighted sum of a few inputs. Where
sizes are known, the weights of an axis are a matrix, `[out, in]`, and the nearest is a list of places.
Numbers are float32 where ONNX Runtime's are: between two places equally near, the rounding decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn
from torch.nn import functional

from juggler.runtime.importers._onnx_graph import Handle, OnnxBuilder, Op, Unsupported

Floats = npt.NDArray[np.float32]
# Torch's names of the modes that weigh neighbours, by the number of dimensions.
WEIGHED = {"linear": {3: "linear", 4: "bilinear", 5: "trilinear"}, "cubic": {4: "bicubic"}}
# How the place of an output is taken to its input, with rounding that for whole factors repeats each value.
NEARLY = 1e-6  # what ONNX Runtime takes for the middle between two places
MOST_WEIGHTS = 1 << 24  # of one axis, as a matrix
HALVES = ("half_pixel", "pytorch_half_pixel")
REPEATING = {
    ("asymmetric", "floor"),
    *((mode, way) for mode in HALVES for way in ("round_prefer_floor", "round_prefer_ceil")),
}
NEAREST: dict[str, Callable[[Floats], npt.NDArray[Any]]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x.astype(np.float64) - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x.astype(np.float64) + (0.5 + NEARLY)),
}


@dataclass(frozen=True)
class _Axis:
    """One axis that is resized; `old` is None where it is free.

    Attributes:
        at: which axis.
        old: its size before.
        new: its size after; None where it is free.
        scale: by how much it grows.
        part: where the part that is cropped begins and ends, as shares.
    """

    at: int
    old: int | None
    new: int | None
    scale: float
    part: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class _Form:
    """How an op resizes, its defaults filled in."""

    mode: str
    how: str
    nearest: str
    antialias: bool
    exclude_outside: bool
    coefficient: float
    filling: float


def resize(build: OnnxBuilder, op: Op) -> None:
    """Resize by a module of torch's where it has an equal, else axis by axis."""
    form = _form(build, op)
    shape = build.shapes.get(op.inputs[0])
    if shape is None:
        raise Unsupported("the shape of its input is not known")
    axes = _axes(build, op, list(shape))
    if form.how == "tf_crop_and_resize":
        axes = _with_parts(build, op, axes)
    # ONNX Runtime leaves an axis alone whose factor is 1, also where only a part of it should be taken.
    axes = sorted((axis for axis in axes if axis.scale != 1.0), key=lambda axis: axis.at)
    if any(axis.new == 0 for axis in axes):
        raise Unsupported("it makes nothing of its input")
    if not axes:
        build.values[op.outputs[0]] = build.value(op.inputs[0])
    elif not _by_torch(build, op, form, axes, len(shape)):
        build.values[op.outputs[0]] = _by_axes(build, op, form, axes, len(shape))


def _form(build: OnnxBuilder, op: Op) -> _Form:
    old = op.kind == "Upsample" or build.opset < 11
    mode = op.get("mode", "nearest")
    form = _Form(
        mode={"bilinear": "linear"}.get(mode, mode),
        how="asymmetric" if old else op.get("coordinate_transformation_mode", "half_pixel"),
        nearest="simple" if old else op.get("nearest_mode", "round_prefer_floor"),
        antialias=bool(op.get("antialias", 0)),
        exclude_outside=bool(op.get("exclude_outside", 0)),
        coefficient=op.get("cubic_coeff_a", -0.75),
        filling=op.get("extrapolation_value", 0.0),
    )
    if form.mode not in ("nearest", "linear", "cubic") or (form.antialias and form.mode == "nearest"):
        raise Unsupported(f"its mode is {form.mode}{', with antialias' if form.antialias else ''}")
    return form


def _axes(build: OnnxBuilder, op: Op, shape: list[Any]) -> list[_Axis]:
    """Return the axes that the model names, all where it names none."""
    named = [axis % len(shape) for axis in op.get("axes") or range(len(shape))]
    scales, sizes = _given(build, op)
    if len(scales or sizes) != len(named):
        raise Unsupported("its sizes or factors are not as many as its axes")
    known = [size if isinstance(size, int) else None for size in (shape[at] for at in named)]
    if scales:
        news = [
            None if old is None else int(np.float32(old) * np.float32(s))
            for old, s in zip(known, scales, strict=True)
        ]
        return [_Axis(*parts) for parts in zip(named, known, news, scales, strict=True)]
    policy = op.get("keep_aspect_ratio_policy", "stretch")
    axes = []
    for at, old, new in zip(named, known, sizes, strict=True):
        if shape[at] == new:  # the same free size, or the same number
            axes.append(_Axis(at, old, old, 1.0))
        elif old is None or not isinstance(new, int):
            raise Unsupported("the sizes that it makes are free")
        else:
            axes.append(_Axis(at, old, new, new / old))
    if policy == "stretch":
        return axes
    scale = (min if policy == "not_larger" else max)(axis.scale for axis in axes)
    if any(axis.old is None for axis in axes):
        raise Unsupported("it keeps the ratio of sizes that are free")
    return [_Axis(a.at, a.old, int(np.floor(np.float32(scale * (a.old or 0)) + 0.5)), scale) for a in axes]


def _given(build: OnnxBuilder, op: Op) -> tuple[list[float], list[Any]]:
    """Return the factors, or else the sizes, that the model gives."""
    if op.kind == "Upsample" and op.get("scales"):
        return [float(factor) for factor in op.get("scales")], []
    at = 1 if op.kind == "Upsample" or build.opset < 11 else 2
    if op.has_input(at) and (factors := build.numbers(op.inputs[at])):
        return [float(factor) for factor in factors], []
    if not op.has_input(3):
        raise Unsupported("it has neither sizes nor factors")
    return [], build.size_list(op.inputs[3])


def _with_parts(build: OnnxBuilder, op: Op, axes: list[_Axis]) -> list[_Axis]:
    if not op.has_input(1):
        raise Unsupported("it crops, and does not say what")
    roi, count = build.numbers(op.inputs[1]), len(axes)
    if len(roi) != 2 * count:
        raise Unsupported(f"what it crops is given by {len(roi)} numbers for {count} axes")
    return [_Axis(a.at, a.old, a.new, a.scale, (roi[i], roi[i + count])) for i, a in enumerate(axes)]


def _by_torch(build: OnnxBuilder, op: Op, form: _Form, axes: list[_Axis], rank: int) -> bool:
    """Let a module of torch's resize where one is the same; say whether it does."""
    if axes[0].at < 2 or rank not in WEIGHED["linear"]:
        return False
    by_axis = {axis.at: axis for axis in axes}
    scales = tuple(by_axis[at].scale if at in by_axis else 1.0 for at in range(2, rank))
    if form.mode == "nearest":
        how = "floor" if form.nearest == "simple" else form.nearest
        is_whole = (form.how, how) in REPEATING and not any(scale % 1 for scale in scales)
        if is_whole:
            build.module(op, nn.Upsample(scale_factor=scales, mode="nearest"))
        return is_whole
    name, corners = WEIGHED[form.mode].get(rank), form.how == "align_corners"
    if name is None or not _is_torchs(form, axes, rank):
        return False
    exact = all(axis.new and axis.old and axis.scale == axis.new / axis.old for axis in axes)
    if form.antialias:
        options = {"scale_factor": scales, "mode": name, "antialias": True}
        build.function(op, functional.interpolate, build.value(op.inputs[0]), **options)
    elif exact and any(scale % 1 for scale in scales):
        sizes = tuple(axis.new or 0 for axis in axes)
        build.module(op, nn.Upsample(size=sizes, mode=name, align_corners=corners))
    else:
        build.module(op, nn.Upsample(scale_factor=scales, mode=name, align_corners=corners))
    return True


def _is_torchs(form: _Form, axes: list[_Axis], rank: int) -> bool:
    """Say whether torch weighs the neighbours alike, and makes the same sizes of the factors."""
    if len(axes) < rank - 2 or any(axis.old and int(axis.old * axis.scale) != axis.new for axis in axes):
        return False
    if form.antialias:  # where sizes are known, it is done axis by axis
        return form.mode == "linear" and form.how == "half_pixel" and rank == 4 and not axes[0].old
    if form.exclude_outside or form.coefficient != -0.75:
        return False
    if form.how == "pytorch_half_pixel":  # old releases of torch took another place where one pixel is made
        return all(axis.new is not None and axis.new > 1 for axis in axes)
    return form.how in ("align_corners", "half_pixel")


def _by_axes(build: OnnxBuilder, op: Op, form: _Form, axes: list[_Axis], rank: int) -> fx.Node:
    """Resize one axis after the other by weights of its own."""
    if any(axis.old is None or axis.new is None for axis in axes):
        raise Unsupported(f"it takes {form.mode} by {form.how}, and a size is free")
    if any((axis.old or 0) * (axis.new or 0) > MOST_WEIGHTS for axis in axes):
        raise Unsupported(f"it takes {form.mode} by {form.how}, for which its sizes are too large")
    value = build.value(op.inputs[0])
    for axis in axes:
        places = _places(form, axis)
        if form.mode == "nearest":
            index = build.add_buffer(f"{op.name}_places", torch.from_numpy(_nearest(form, axis, places)))
            value = build.add_function(torch.index_select, value, axis.at, index)
        else:
            shares = _weights(form, axis, places).astype(build.dtype(op.inputs[0]))
            weights = build.add_buffer(f"{op.name}_weights", torch.from_numpy(shares))
            value = _weighed(build, value, weights, axis.at, rank)
    outside = _outside(form, axes, rank)
    if outside is None:
        return value
    mask = build.add_buffer(f"{op.name}_outside", torch.from_numpy(outside))
    filling = build.add_buffer(f"{op.name}_filling", torch.tensor(form.filling))
    return build.add_function(torch.where, mask, filling, value)


def _weighed(build: OnnxBuilder, value: fx.Node, weights: fx.Node, at: int, rank: int) -> fx.Node:
    """Multiply a value by weights, `[out, in]`, along one axis."""
    if at == rank - 2:
        return build.add_function(torch.matmul, weights, value)
    moved = value if at == rank - 1 else build.add_function(torch.transpose, value, at, rank - 1)
    product = build.add_function(functional.linear, moved, weights)
    return product if at == rank - 1 else build.add_function(torch.transpose, product, at, rank - 1)


def _places(form: _Form, axis: _Axis) -> Floats:
    """Return where in the input each output lies, `[out]`."""
    if form.how not in PLACES:
        raise Unsupported(f"it takes places by {form.how}")
    x = np.arange(axis.new or 0, dtype=np.float32)
    return PLACES[form.how](x, axis, np.float32(axis.old or 0), np.float32(axis.scale))


HALF = np.float32(0.5)


def _by_corners(x: Floats, axis: _Axis, old: np.float32, scale: np.float32) -> Floats:
    return x * (old - 1) / np.float32(len(x) - 1) if len(x) > 1 else np.zeros_like(x)


def _by_old_torch(x: Floats, axis: _Axis, old: np.float32, scale: np.float32) -> Floats:
    return (x + HALF) / scale - HALF if len(x) > 1 else np.zeros_like(x)


def _by_part(x: Floats, axis: _Axis, old: np.float32, scale: np.float32) -> Floats:
    start, end = map(np.float32, axis.part)
    if len(x) <= 1:
        return np.full_like(x, HALF * (start + end) * (old - 1))
    return start * (old - 1) + x * (end - start) * (old - 1) / np.float32(len(x) - 1)


def _by_middle(x: Floats, axis: _Axis, old: np.float32, scale: np.float32) -> Floats:
    shift = old / 2 * (1 - np.float32(len(x)) / (scale * old))
    return shift + (x + HALF) / scale - HALF


# How places of the output go to the input.
PLACES: dict[str, Callable[[Floats, _Axis, np.float32, np.float32], Floats]] = {
    "align_corners": _by_corners,
    "asymmetric": lambda x, axis, old, scale: x / scale,
    "half_pixel": lambda x, axis, old, scale: (x + HALF) / scale - HALF,
    "half_pixel_symmetric": _by_middle,
    "pytorch_half_pixel": _by_old_torch,
    "tf_crop_and_resize": _by_part,
    "tf_half_pixel_for_nn": lambda x, axis, old, scale: (x + HALF) / scale,
}


def _nearest(form: _Form, axis: _Axis, places: Floats) -> npt.NDArray[np.int64]:
    way = form.nearest
    if way == "simple":
        way = "ceil" if axis.scale < 1 else "floor"
    index: npt.NDArray[np.int64] = np.clip(NEAREST[way](places), 0, (axis.old or 1) - 1).astype(np.int64)
    return index


def _weights(form: _Form, axis: _Axis, places: Floats) -> Floats:
    """Return how much of each input each output takes, `[out, in]`."""
    old = axis.old or 1
    widening = max(1.0, 1.0 / axis.scale) if form.antialias else 1.0
    reach = (1.0 if form.mode == "linear" else 2.0) * widening
    weights = np.zeros((len(places), old), np.float64)
    within = form.mode == "linear" and not form.antialias
    exact = places.astype(np.float64)
    for row, place in enumerate(np.clip(exact, 0.0, old - 1.0) if within else exact):
        near = np.arange(int(np.floor(place - reach)), int(np.ceil(place + reach)) + 1)
        shares = _kernel(form, (near - place) / widening)
        if form.exclude_outside:
            shares[(near < 0) | (near >= old)] = 0.0
        if form.antialias or form.exclude_outside:
            with np.errstate(invalid="ignore"):  # where all lie outside, ONNX Runtime divides by nothing too
                shares /= shares.sum()
        np.add.at(weights[row], np.clip(near, 0, old - 1), shares)
    return weights.astype(np.float32)


def _kernel(form: _Form, distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the weight of a neighbour that far away: a triangle, or the cubic kernel."""
    x = np.abs(distance)
    if form.mode == "linear":
        return np.maximum(0.0, 1.0 - x)
    a = form.coefficient
    inner = (a + 2) * x**3 - (a + 3) * x**2 + 1
    outer = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


def _outside(form: _Form, axes: list[_Axis], rank: int) -> npt.NDArray[np.bool_] | None:
    """Return which outputs lie outside of the input, where those are filled; None where none does."""
    if form.how != "tf_crop_and_resize":
        return None
    outside = np.zeros((1,) * rank, bool)
    for axis in axes:
        places = _places(form, axis)
        along = [1] * rank
        along[axis.at] = len(places)
        outside = outside | ((places < 0) | (places > (axis.old or 1) - 1)).reshape(along)
    return outside if outside.any() else None


RESIZE_HANDLES: dict[str, Handle] = {"Resize": resize, "Upsample": resize}
