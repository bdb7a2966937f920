"""One handle an ONNX op: what it is in torch. `HANDLES` is the table."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from juggler.runtime.importers._onnx_graph import Build, Op, Unsupported, parameter, tensor
from juggler.runtime.importers._onnx_shapes import SHAPE_HANDLES

Handle: TypeAlias = Callable[[Build, Op], None]

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE_POOLS = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
GLOBAL_POOLS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


def _conv(build: Build, op: Op) -> None:
    weight = build.constant(op, 1)
    rank, groups = weight.ndim - 2, op.get("group", 1)
    source, padding = _padded(build, op, rank, 0.0)
    with torch.device("meta"):  # the weights come from the file: nothing to draw, nothing to allocate
        conv = _of_rank(CONVS, rank)(
            weight.shape[1] * groups,
            weight.shape[0],
            weight.shape[2:],
            stride=_list(op, "strides", rank),
            padding=padding,
            dilation=_list(op, "dilations", rank),
            groups=groups,
            bias=op.has_input(2),
        )
    conv.weight = parameter(weight)
    if op.has_input(2):
        conv.bias = parameter(build.constant(op, 2))
    build.module(op, conv, source)


def _batch_norm(build: Build, op: Op) -> None:
    if op.get("training_mode", 0) or len(op.outputs) > 1:
        raise Unsupported("it is in training mode")
    scale, shift, mean, variance = (build.constant(op, i) for i in range(1, 5))
    norm = _of_rank(BATCH_NORMS, build.rank(op.inputs[0]) - 2)(scale.size, eps=op.get("epsilon", 1e-5))
    norm.weight, norm.bias = parameter(scale), parameter(shift)
    norm.running_mean, norm.running_var = tensor(mean), tensor(variance)
    build.module(op, norm)


def _max_pool(build: Build, op: Op) -> None:
    if len(op.outputs) > 1:
        raise Unsupported("it returns indices")
    kernel = tuple(op.get("kernel_shape"))
    source, padding = _padded(build, op, len(kernel), -math.inf)
    options = {"dilation": _list(op, "dilations", len(kernel)), "ceil_mode": bool(op.get("ceil_mode", 0))}
    pool = _of_rank(MAX_POOLS, len(kernel))
    build.module(op, pool(kernel, _list(op, "strides", len(kernel)), padding, **options), source)


def _average_pool(build: Build, op: Op) -> None:
    kernel, counts_padding = tuple(op.get("kernel_shape")), bool(op.get("count_include_pad", 0))
    if set(_list(op, "dilations", len(kernel))) != {1}:
        raise Unsupported("it is dilated")
    source, padding = _padded(build, op, len(kernel), 0.0)
    if source is not None and not counts_padding:
        raise Unsupported("its padding is uneven and not counted")
    pool = _of_rank(AVERAGE_POOLS, len(kernel))
    options = {"ceil_mode": bool(op.get("ceil_mode", 0)), "count_include_pad": counts_padding}
    build.module(op, pool(kernel, _list(op, "strides", len(kernel)), padding, **options), source)


def _global_average_pool(build: Build, op: Op) -> None:
    build.module(op, _of_rank(GLOBAL_POOLS, build.rank(op.inputs[0]) - 2)(1))


def _reduce_mean(build: Build, op: Op) -> None:
    axes = op.get("axes") or (build.constant(op, 1).tolist() if op.has_input(1) else None)
    if not axes:
        raise Unsupported("it names no axes")
    rank, keeps = build.rank(op.inputs[0]), bool(op.get("keepdims", 1))
    axes = sorted(axis % rank for axis in axes)
    if keeps and rank > 2 and axes == list(range(2, rank)):
        build.module(op, _of_rank(GLOBAL_POOLS, rank - 2)(1))
    else:
        build.function(op, torch.mean, build.value(op.inputs[0]), dim=axes, keepdim=keeps)


def _flatten(build: Build, op: Op) -> None:
    if op.get("axis", 1) != 1:
        raise Unsupported(f"its axis is {op.get('axis')}, not 1")
    build.module(op, nn.Flatten(1))


def _gemm(build: Build, op: Op) -> None:
    weight = build.constant(op, 1) * _same(op.get("alpha", 1.0))
    if op.get("transA", 0):
        raise Unsupported("it transposes its input")
    weight = weight if op.get("transB", 0) else weight.T
    bias = None
    if op.has_input(2):
        bias = np.broadcast_to(build.constant(op, 2) * _same(op.get("beta", 1.0)), (1, len(weight)))[0]
    _linear(build, op, weight, bias)


def _matmul(build: Build, op: Op) -> None:
    if op.inputs[1] in build.constants and build.constants[op.inputs[1]].ndim == 2:
        _linear(build, op, build.constants[op.inputs[1]].T, None)
    else:
        build.function(op, torch.matmul, *(build.value(name) for name in op.inputs))


def _linear(build: Build, op: Op, weight: Any, bias: Any) -> None:
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = parameter(np.ascontiguousarray(weight))
    if bias is not None:
        linear.bias = parameter(bias)
    build.module(op, linear)


def _clip(build: Build, op: Op) -> None:
    limits = [op.get("min"), op.get("max")]
    for index in (1, 2):
        if op.has_input(index):
            limits[index - 1] = build.constant(op, index).item()
    low, high = limits
    if low == 0.0 and high is None:
        build.module(op, nn.ReLU())
    elif (low, high) == (0.0, 6.0):
        build.module(op, nn.ReLU6())
    elif low is None and high is None:
        _same_value(build, op)
    else:
        build.function(op, torch.clamp, build.value(op.inputs[0]), min=low, max=high)


def _pad(build: Build, op: Op) -> None:
    if op.get("mode", "constant") != "constant" or op.has_input(3):
        raise Unsupported("only constant padding of all axes has an equal")
    if op.has_input(2) and build.constant(op, 2).item() != 0.0:
        raise Unsupported("it pads with something other than 0")
    pads = op.get("pads") or build.constant(op, 1).tolist()
    build.function(op, functional.pad, build.value(op.inputs[0]), _torch_pads(pads))


def _softmax(build: Build, op: Op) -> None:
    axis = op.get("axis", -1 if build.opset >= 13 else 1)
    if build.opset < 13 and axis not in (-1, build.rank(op.inputs[0]) - 1):
        raise Unsupported("before opset 13 it flattens the axes behind its own")  # a different function
    build.module(op, nn.Softmax(dim=axis))


def _concat(build: Build, op: Op) -> None:
    if any(name in build.sizes for name in op.inputs):
        SHAPE_HANDLES["Concat"](build, op)
    else:
        build.function(op, torch.cat, [build.value(name) for name in op.inputs], dim=op.get("axis"))


def _same_value(build: Build, op: Op) -> None:
    """Let the output be the input: identities, and dropout at inference."""
    source, target = op.inputs[0], op.outputs[0]
    if source in build.constants:
        build.constants[target] = build.constants[source]
    else:
        build.values[target] = build.value(source)


def _reshape(build: Build, op: Op) -> None:
    """Flatten, or reshape behind the batch; the batch itself must stay."""
    shape = build.sizes.get(op.inputs[1])
    if shape is None:
        shape = build.constant(op, 1).tolist()
    have = build.shapes.get(op.inputs[0])
    if not isinstance(shape, list) or not shape or have is None:
        raise Unsupported("its shapes are not known")
    behind, wanted = list(have[1:]), list(shape[1:])
    known = math.prod(s for s in behind if isinstance(s, int)) if all_numbers(behind) else None
    keeps_batch = shape[0] in (have[0], 0) and not op.get("allowzero", 0)
    free_batch = shape[0] == -1 and known is not None and known == math.prod(map(_number, wanted))
    if not (keeps_batch or free_batch or (shape[0] == have[0] and isinstance(have[0], str))):
        raise Unsupported(f"it makes {shape} of {list(have)}, which mixes the batch with the rest")
    if len(wanted) == 1 and wanted[0] in (-1, known):
        build.module(op, nn.Flatten(1))
    elif all(isinstance(s, int) and s > 0 for s in wanted):
        build.function(op, torch.reshape, build.value(op.inputs[0]), (-1, *wanted))
    else:
        raise Unsupported(f"it makes {shape} of {list(have)}")


def all_numbers(sizes: list[Any]) -> bool:
    """Say whether none of the sizes is free."""
    return all(isinstance(size, int) for size in sizes)


def _number(size: Any) -> int:
    return size if isinstance(size, int) and size > 0 else -1


def _module(make: Callable[[], nn.Module]) -> Handle:
    return lambda build, op: build.module(op, make())


def _binary(function: Callable[..., Any]) -> Handle:
    return lambda build, op: build.function(op, function, *(build.value(name) for name in op.inputs))


def _of_rank(kinds: dict[int, Any], rank: int) -> Any:
    if rank not in kinds:
        raise Unsupported(f"it has {rank} spatial dimensions")
    return kinds[rank]


def _list(op: Op, attribute: str, rank: int) -> tuple[int, ...]:
    return tuple(op.get(attribute) or (1,) * rank)


def _same(factor: float) -> np.float32:
    return np.float32(factor)


def _padded(build: Build, op: Op, rank: int, filling: float) -> tuple[fx.Node | None, tuple[int, ...]]:
    """Return the padding that torch can do itself; uneven padding becomes a node of its own before."""
    if op.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Unsupported(f"its padding {op.get('auto_pad')} depends on the input's size")
    pads = op.get("pads") or [0] * (2 * rank)
    if pads[:rank] == pads[rank:]:
        return None, tuple(pads[:rank])
    value = build.value(op.inputs[0])
    return build.graph.call_function(functional.pad, (value, _torch_pads(pads)), {"value": filling}), (
        0,
    ) * rank


def _torch_pads(pads: list[int]) -> list[int]:
    """Turn ONNX's pads, all begins then all ends, into torch's, pairs from the last axis on."""
    half = len(pads) // 2
    return [pads[axis + side * half] for axis in reversed(range(half)) for side in (0, 1)]


HANDLES: dict[str, Handle] = {
    **SHAPE_HANDLES,
    "Add": _binary(operator.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Dropout": _same_value,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "Identity": _same_value,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Mul": _binary(operator.mul),
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": _module(nn.ReLU),
    "Reshape": _reshape,
    "Sigmoid": _module(nn.Sigmoid),
    "Softmax": _softmax,
}
