"""Handles of the ONNX ops that slide a window: convolutions and pools, with every kind of padding.

torch pads both sides of an axis alike. Padding that differs becomes a node of its own before the window, or a
cut behind a transposed convolution. `auto_pad` is worked out where the size is known.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from juggler.runtime.importers._onnx_graph import Handle, OnnxBuilder, Op, Unsupported, parameter

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE_POOLS = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
GLOBAL_POOLS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
GLOBAL_MAX_POOLS = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}
COUNTED = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


def _conv(build: OnnxBuilder, op: Op) -> None:
    weight = build.constant(op, 1)
    rank, groups = weight.ndim - 2, op.get("group", 1)
    source, padding = _padded(build, op, weight.shape[2:], 0.0)
    with torch.device("meta"):  # the weights come from the file: nothing to draw, nothing to allocate
        conv = of_rank(CONVS, rank)(
            weight.shape[1] * groups,
            weight.shape[0],
            weight.shape[2:],
            stride=_list(op, "strides", rank),
            padding=padding,
            dilation=_list(op, "dilations", rank),
            groups=groups,
            bias=op.has_input(2),
        )
    _give_weights(build, op, conv)
    build.module(op, conv, source)


def _conv_transpose(build: OnnxBuilder, op: Op) -> None:
    weight = build.constant(op, 1)
    rank, groups = weight.ndim - 2, op.get("group", 1)
    extra = tuple(op.get("output_padding") or (0,) * rank)
    pads = _transposed_pads(build, op, weight.shape[2:], extra)
    even = pads[:rank] == pads[rank:] and min(pads) >= 0
    with torch.device("meta"):
        conv = of_rank(TRANSPOSED, rank)(
            weight.shape[0],
            weight.shape[1] * groups,
            weight.shape[2:],
            stride=_list(op, "strides", rank),
            padding=tuple(pads[:rank]) if even else 0,
            output_padding=extra,
            groups=groups,
            bias=op.has_input(2),
            dilation=_list(op, "dilations", rank),
        )
    _give_weights(build, op, conv)
    build.module(op, conv)
    if not even:
        if min(pads) < 0:
            raise Unsupported("its output is larger than its windows reach")
        cuts = (slice(begin, -end or None) for begin, end in zip(pads[:rank], pads[rank:], strict=True))
        uncut = build.values[op.outputs[0]]
        build.function(op, operator.getitem, uncut, (slice(None), slice(None), *cuts))


def _give_weights(build: OnnxBuilder, op: Op, conv: Any) -> None:
    conv.weight = parameter(build.constant(op, 1))
    if op.has_input(2):
        conv.bias = parameter(build.constant(op, 2))


def _transposed_pads(build: OnnxBuilder, op: Op, kernel: Any, extra: tuple[int, ...]) -> list[int]:
    """Return what is cut off at the begins, then at the ends, of a transposed convolution's axes."""
    rank, auto = len(kernel), op.get("auto_pad", "NOTSET")
    output_shape = op.get("output_shape")
    if output_shape is None and auto in ("NOTSET", "VALID"):
        return list(op.get("pads") or [0] * (2 * rank))
    strides, dilations = _list(op, "strides", rank), _list(op, "dilations", rank)
    sides = _sides(build, op, rank)
    output_sides = (
        output_shape[-rank:]
        if output_shape
        else [side * stride for side, stride in zip(sides, strides, strict=True)]
    )
    total = [
        stride * (side - 1) + more + (k - 1) * dilation + 1 - out
        for stride, side, more, k, dilation, out in zip(
            strides, sides, extra, kernel, dilations, output_sides, strict=True
        )
    ]
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return small + large if auto == "SAME_UPPER" else large + small


def _max_pool(build: OnnxBuilder, op: Op) -> None:
    if len(op.outputs) > 1:
        raise Unsupported("it returns indices")
    kernel = tuple(op.get("kernel_shape"))
    source, padding = _padded(build, op, kernel, -math.inf)
    options = {"dilation": _list(op, "dilations", len(kernel)), "ceil_mode": bool(op.get("ceil_mode", 0))}
    if source is not None and options["ceil_mode"]:
        raise Unsupported("its padding is uneven and its last window is rounded up")
    pool = of_rank(MAX_POOLS, len(kernel))
    build.module(op, pool(kernel, _list(op, "strides", len(kernel)), padding, **options), source)


def _average_pool(build: OnnxBuilder, op: Op) -> None:
    kernel, counts_padding = tuple(op.get("kernel_shape")), bool(op.get("count_include_pad", 0))
    rank = len(kernel)
    if set(_list(op, "dilations", rank)) != {1}:
        raise Unsupported("it is dilated")
    source, padding = _padded(build, op, kernel, 0.0)
    strides, ceils = _list(op, "strides", rank), bool(op.get("ceil_mode", 0))
    if source is not None and ceils:
        raise Unsupported("its padding is uneven and its last window is rounded up")
    pool = of_rank(AVERAGE_POOLS, rank)
    options = {"ceil_mode": ceils, "count_include_pad": counts_padding}
    build.module(op, pool(kernel, strides, padding, **options), source)
    if source is not None and not counts_padding:
        _leave_padding_uncounted(build, op, kernel, strides)


def _leave_padding_uncounted(build: OnnxBuilder, op: Op, kernel: Any, strides: Any) -> None:
    """Multiply by window size over inputs counted: a map that the input's size fixes."""
    rank = len(kernel)
    ones = torch.ones(1, 1, *_sides(build, op, rank))
    padded = functional.pad(ones, torch_pads(_pads(build, op, kernel)))
    share = COUNTED[rank](padded, kernel, strides)
    factor = build.add_buffer(f"{op.name}_share", 1.0 / share)
    build.function(op, operator.mul, build.values[op.outputs[0]], factor)


def _global_average_pool(build: OnnxBuilder, op: Op) -> None:
    build.module(op, of_rank(GLOBAL_POOLS, build.rank(op.inputs[0]) - 2)(1))


def _global_max_pool(build: OnnxBuilder, op: Op) -> None:
    build.module(op, of_rank(GLOBAL_MAX_POOLS, build.rank(op.inputs[0]) - 2)(1))


def of_rank(kinds: dict[int, Any], rank: int) -> Any:
    """Return the kind for this number of spatial dimensions."""
    if rank not in kinds:
        raise Unsupported(f"it has {rank} spatial dimensions")
    return kinds[rank]


def _list(op: Op, attribute: str, rank: int) -> tuple[int, ...]:
    values = tuple(op.get(attribute) or (1,) * rank)
    if min(values, default=1) < 1 or len(values) != rank:
        raise Unsupported(f"its {attribute} are {list(values)}")
    return values


def _sides(build: OnnxBuilder, op: Op, rank: int) -> list[int]:
    shape = build.shapes.get(op.inputs[0], ())[-rank:]
    sides = [side for side in shape if isinstance(side, int)]
    if len(sides) < rank:
        raise Unsupported("its padding depends on the input's size, which is free")
    return sides


def _pads(build: OnnxBuilder, op: Op, kernel: Any) -> list[int]:
    """Return the padding of all begins, then of all ends."""
    rank, auto = len(kernel), op.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        return list(op.get("pads") or [0] * (2 * rank))
    strides, dilations = _list(op, "strides", rank), _list(op, "dilations", rank)
    total = [
        max(((side - 1) // stride) * stride + (k - 1) * dilation + 1 - side, 0)
        for side, stride, k, dilation in zip(_sides(build, op, rank), strides, kernel, dilations, strict=True)
    ]
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return small + large if auto == "SAME_UPPER" else large + small


def _check_pool(build: OnnxBuilder, op: Op, kernel: Any, pads: list[int]) -> None:
    """Refuse pools that ONNX Runtime runs by rules of its own."""
    rank = len(kernel)
    dilations = _list(op, "dilations", rank)
    if op.get("auto_pad", "NOTSET").startswith("SAME") and (op.get("ceil_mode", 0) or set(dilations) != {1}):
        raise Unsupported("it pads by itself, and is dilated or rounds its last window up")
    shape = build.shapes.get(op.inputs[0], ())[-rank:]
    padded = [size + pads[at] + pads[at + rank] for at, size in enumerate(shape) if isinstance(size, int)]
    reaches = [(side - 1) * dilation + 1 for side, dilation in zip(kernel, dilations, strict=True)]
    if len(padded) == rank and any(size < reach for size, reach in zip(padded, reaches, strict=True)):
        raise Unsupported("its window is larger than its input")


def _padded(
    build: OnnxBuilder, op: Op, kernel: Any, filling: float
) -> tuple[fx.Node | None, tuple[int, ...]]:
    """Return the padding that torch can do itself; uneven padding becomes a node of its own before."""
    pads, rank = _pads(build, op, kernel), len(kernel)
    if op.kind != "Conv":
        _check_pool(build, op, kernel, pads)
    # A pool of torch's takes no padding beyond half its window.
    narrow = op.kind == "Conv" or all(2 * pad <= k for pad, k in zip(pads, (*kernel, *kernel), strict=True))
    if pads[:rank] == pads[rank:] and narrow:
        return None, tuple(pads[:rank])
    value = build.value(op.inputs[0])
    padded = build.graph.call_function(functional.pad, (value, torch_pads(pads)), {"value": filling})
    return padded, (0,) * rank


def torch_pads(pads: list[int]) -> list[int]:
    """Turn ONNX's pads, all begins then all ends, into torch's, pairs from the last axis on."""
    half = len(pads) // 2
    return [pads[axis + side * half] for axis in reversed(range(half)) for side in (0, 1)]


WINDOW_HANDLES: dict[str, Handle] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "MaxPool": _max_pool,
}
