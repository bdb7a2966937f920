"""Handles of the ONNX ops that hold weights, scales or statistics."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import nn

from juggler.runtime.importers._onnx_graph import Handle, OnnxBuilder, Op, Unsupported, parameter, tensor
from juggler.runtime.importers._onnx_windows import of_rank

BATCH_NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORMS = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


def _batch_norm(build: OnnxBuilder, op: Op) -> None:
    if op.get("training_mode", 0) or len(op.outputs) > 1:
        raise Unsupported("it takes its statistics from the batch: it was exported in training mode")
    if not all(op.has_input(index) for index in range(1, 5)):
        raise Unsupported("it has no statistics: it was exported in training mode, or keeps none")
    scale, shift, mean, variance = (build.constant(op, i) for i in range(1, 5))
    if {part.shape for part in (scale, shift, mean, variance)} != {(scale.size,)}:
        raise Unsupported("its scale, shift and statistics are not one a channel")
    norm = of_rank(BATCH_NORMS, build.rank(op.inputs[0]) - 2)(scale.size, eps=op.get("epsilon", 1e-5))
    norm.weight, norm.bias = parameter(scale), parameter(shift)
    norm.running_mean, norm.running_var = tensor(mean), tensor(variance)
    build.module(op, norm)


def _instance_norm(build: OnnxBuilder, op: Op) -> None:
    scale, shift = build.constant(op, 1), build.constant(op, 2)
    kind = of_rank(INSTANCE_NORMS, build.rank(op.inputs[0]) - 2)
    norm = kind(scale.size, eps=op.get("epsilon", 1e-5), affine=True)
    norm.weight, norm.bias = parameter(scale), parameter(shift)
    build.module(op, norm)


def _layer_norm(build: OnnxBuilder, op: Op) -> None:
    scale, rank = build.constant(op, 1), build.rank(op.inputs[0])
    if len(op.outputs) > 1 or scale.ndim != rank - op.get("axis", -1) % rank:
        raise Unsupported("it gives its mean too, or its scale is broadcast")
    norm = nn.LayerNorm(scale.shape, op.get("epsilon", 1e-5), bias=op.has_input(2))
    norm.weight = parameter(scale)
    if op.has_input(2):
        norm.bias = parameter(build.constant(op, 2))
    build.module(op, norm)


def _local_response_norm(build: OnnxBuilder, op: Op) -> None:
    size = op.get("size")
    if size % 2 == 0:
        raise Unsupported("its window is even, and leans to the other side in torch")
    build.module(
        op, nn.LocalResponseNorm(size, op.get("alpha", 1e-4), op.get("beta", 0.75), op.get("bias", 1.0))
    )


def _gemm(build: OnnxBuilder, op: Op) -> None:
    """Multiply by a matrix and add what may be a row, a column, a matrix or one number."""
    alpha, beta = op.get("alpha", 1.0), op.get("beta", 1.0)
    addend = build.constants.get(op.inputs[2]) if op.has_input(2) else None
    weight = build.constants.get(op.inputs[1])
    if weight is None or weight.ndim != 2 or op.get("transA", 0) or (op.has_input(2) and addend is None):
        _general_gemm(build, op, alpha, beta)
        return
    weight = weight * weight.dtype.type(alpha)
    weight = weight if op.get("transB", 0) else weight.T
    is_row = addend is None or addend.size == 1 or addend.shape in ((len(weight),), (1, len(weight)))
    bias = None
    if addend is not None and is_row:
        bias = np.broadcast_to(addend.reshape(-1) * addend.dtype.type(beta), (len(weight),))
    _linear(build, op, weight, bias)
    if not is_row and addend is not None:
        more = build.add_buffer(f"{op.name}_addend", tensor(addend * addend.dtype.type(beta)))
        build.function(op, operator.add, build.values[op.outputs[0]], more)


def _general_gemm(build: OnnxBuilder, op: Op, alpha: float, beta: float) -> None:
    left, right = (
        build.add_function(torch.transpose, build.value(name), 0, 1) if op.get(flag, 0) else build.value(name)
        for name, flag in zip(op.inputs[:2], ("transA", "transB"), strict=True)
    )
    result = build.add_function(torch.matmul, left, right)
    if alpha != 1.0:
        result = build.add_function(operator.mul, result, alpha)
    if op.has_input(2):
        addend = build.value(op.inputs[2])
        addend = addend if beta == 1.0 else build.add_function(operator.mul, addend, beta)
        result = build.add_function(operator.add, result, addend)
    build.values[op.outputs[0]] = result


def _matmul(build: OnnxBuilder, op: Op) -> None:
    weight = build.constants.get(op.inputs[1])
    if weight is not None and weight.ndim == 2 and op.inputs[0] not in build.constants:
        _linear(build, op, weight.T, None)
    else:
        build.function(op, torch.matmul, *(build.value(name) for name in op.inputs))


def _linear(build: OnnxBuilder, op: Op, weight: Any, bias: Any) -> None:
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = parameter(np.ascontiguousarray(weight))
    if bias is not None:
        linear.bias = parameter(bias)
    build.module(op, linear)


def _prelu(build: OnnxBuilder, op: Op) -> None:
    slope, rank = build.constants.get(op.inputs[1]), build.rank(op.inputs[0])
    channels = build.shapes[op.inputs[0]][1] if rank > 1 else None
    by_channel = slope is not None and slope.ndim == rank - 1 and slope.shape[0] == channels == slope.size
    if slope is None or (slope.size != 1 and not by_channel):
        value = build.value(op.inputs[0])
        negative = build.add_function(torch.clamp, value, max=0)
        positive = build.add_function(torch.clamp, value, min=0)
        sloped = build.add_function(operator.mul, negative, build.value(op.inputs[1]))
        build.function(op, operator.add, positive, sloped)
        return
    activation = nn.PReLU(slope.size)
    activation.weight = parameter(slope.reshape(-1))
    build.module(op, activation)


def _group_norm(build: OnnxBuilder, op: Op) -> None:
    scale, shift, groups = build.constant(op, 1), build.constant(op, 2), op.get("num_groups")
    channels = build.shapes.get(op.inputs[0], (0, 0))[1]
    if not isinstance(channels, int) or scale.shape != (channels,):
        raise Unsupported("its channels are free, or its scale is not one a channel")
    norm = nn.GroupNorm(groups, channels, op.get("epsilon", 1e-5))
    norm.weight, norm.bias = parameter(scale), parameter(shift)
    build.module(op, norm)


def _dequantize(build: OnnxBuilder, op: Op) -> None:
    """Turn whole numbers into those that they stand for: (number - zero point) * scale."""
    if op.get("block_size", 0):
        raise Unsupported("its scales are one a block")
    scale, zero = build.constant(op, 1), build.constant(op, 2) if op.has_input(2) else None
    spread = _along_axis(build, op, scale.size)
    if op.inputs[0] in build.constants:
        numbers = build.constants[op.inputs[0]].astype(np.int32)
        offset = 0 if zero is None else zero.astype(np.int32).reshape(spread)
        build.constants[op.outputs[0]] = (numbers - offset).astype(scale.dtype) * scale.reshape(spread)
        return
    by = build.add_buffer(f"{op.name}_scale", tensor(scale.reshape(spread)))
    value = build.graph.call_method("type_as", (build.value(op.inputs[0]), by))
    if zero is not None and zero.any():
        shift = build.add_buffer(f"{op.name}_zero", tensor(zero.astype(scale.dtype).reshape(spread)))
        value = build.add_function(operator.sub, value, shift)
    build.function(op, operator.mul, value, by)


def _quantize(build: OnnxBuilder, op: Op) -> None:
    """Round to whole numbers of a few bits: nearest even, then cut off at the ends of the type."""
    if op.get("block_size", 0) or op.get("saturate", 1) != 1:
        raise Unsupported("its scales are one a block")
    scale = build.constant(op, 1)
    zero = build.constant(op, 2) if op.has_input(2) else np.zeros_like(scale, np.uint8)
    if zero.dtype.kind not in "iu":
        raise Unsupported(f"it rounds to {zero.dtype}")
    spread, limits = _along_axis(build, op, scale.size), np.iinfo(zero.dtype)
    by = build.add_buffer(f"{op.name}_scale", tensor(scale.reshape(spread)))
    value = build.add_function(
        torch.round, build.add_function(operator.truediv, build.value(op.inputs[0]), by)
    )
    if zero.any():
        offset = build.add_buffer(f"{op.name}_zero", tensor(zero.astype(scale.dtype).reshape(spread)))
        value = build.add_function(operator.add, value, offset)
    value = build.add_function(torch.clamp, value, float(limits.min), float(limits.max))
    build.values[op.outputs[0]] = build.graph.call_method("to", (value, tensor(zero).dtype))


def _along_axis(build: OnnxBuilder, op: Op, count: int) -> tuple[int, ...]:
    """Return the shape that spreads numbers along the op's axis; one number goes for all."""
    if count == 1:
        return ()
    rank = build.rank(op.inputs[0])
    shape = [1] * rank
    shape[op.get("axis", 1) % rank] = count
    return tuple(shape)


LAYER_HANDLES: dict[str, Handle] = {
    "BatchNormalization": _batch_norm,
    "DequantizeLinear": _dequantize,
    "Gemm": _gemm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _local_response_norm,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "PRelu": _prelu,
    "QuantizeLinear": _quantize,
}
