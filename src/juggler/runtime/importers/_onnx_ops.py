"""One handle an ONNX op: what it is in torch. `HANDLES` is the table."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import nn

from juggler.runtime.importers._onnx_graph import Handle, OnnxBuilder, Op, Unsupported, parameter, tensor
from juggler.runtime.importers._onnx_moves import MOVE_HANDLES
from juggler.runtime.importers._onnx_shapes import SHAPE_HANDLES, SIZE_ARITHMETIC
from juggler.runtime.importers._onnx_windows import GLOBAL_POOLS, WINDOW_HANDLES, of_rank

BATCH_NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORMS = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
HARD_SIXTH = np.float32(1 / 6)


def _batch_norm(build: OnnxBuilder, op: Op) -> None:
    if op.get("training_mode", 0) or len(op.outputs) > 1:
        raise Unsupported("it is in training mode")
    scale, shift, mean, variance = (build.constant(op, i) for i in range(1, 5))
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


def _reduction(function: Callable[..., Any], *, is_mean: bool = False) -> Handle:
    def handle(build: OnnxBuilder, op: Op) -> None:
        axes = op.get("axes") or (build.constant(op, 1).tolist() if op.has_input(1) else None)
        if not axes:
            raise Unsupported("it names no axes")
        rank, keeps = build.rank(op.inputs[0]), bool(op.get("keepdims", 1))
        axes = sorted(axis % rank for axis in axes)
        if is_mean and keeps and rank > 2 and axes == list(range(2, rank)):
            build.module(op, of_rank(GLOBAL_POOLS, rank - 2)(1))
        else:
            build.function(op, function, build.value(op.inputs[0]), dim=axes, keepdim=keeps)

    return handle


def _gemm(build: OnnxBuilder, op: Op) -> None:
    weight = build.constant(op, 1) * np.float32(op.get("alpha", 1.0))
    if op.get("transA", 0):
        raise Unsupported("it transposes its input")
    weight = weight if op.get("transB", 0) else weight.T
    bias = None
    if op.has_input(2):
        beta = np.float32(op.get("beta", 1.0))
        bias = np.broadcast_to(build.constant(op, 2) * beta, (1, len(weight)))[0]
    _linear(build, op, weight, bias)


def _matmul(build: OnnxBuilder, op: Op) -> None:
    if op.inputs[1] in build.constants and build.constants[op.inputs[1]].ndim == 2:
        _linear(build, op, build.constants[op.inputs[1]].T, None)
    else:
        build.function(op, torch.matmul, *(build.value(name) for name in op.inputs))


def _linear(build: OnnxBuilder, op: Op, weight: Any, bias: Any) -> None:
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = parameter(np.ascontiguousarray(weight))
    if bias is not None:
        linear.bias = parameter(bias)
    build.module(op, linear)


def _clip(build: OnnxBuilder, op: Op) -> None:
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


def _prelu(build: OnnxBuilder, op: Op) -> None:
    slope, rank = build.constant(op, 1), build.rank(op.inputs[0])
    channels = build.shapes[op.inputs[0]][1] if rank > 1 else None
    by_channel = slope.ndim == rank - 1 and slope.shape[0] == channels == slope.size
    if slope.size != 1 and not by_channel:
        raise Unsupported("its slopes are not one a channel")
    activation = nn.PReLU(slope.size)
    activation.weight = parameter(slope.reshape(-1))
    build.module(op, activation)


def _hard_sigmoid(build: OnnxBuilder, op: Op) -> None:
    slope, shift = op.get("alpha", 0.2), op.get("beta", 0.5)
    if np.float32(slope) == HARD_SIXTH and shift == 0.5:
        build.module(op, nn.Hardsigmoid())
        return
    scaled = build.add_function(operator.mul, build.value(op.inputs[0]), slope)
    shifted = build.add_function(operator.add, scaled, shift)
    build.function(op, torch.clamp, shifted, min=0.0, max=1.0)


def _softmax(make: Callable[..., nn.Module]) -> Handle:
    def handle(build: OnnxBuilder, op: Op) -> None:
        axis = op.get("axis", -1 if build.opset >= 13 else 1)
        if build.opset < 13 and axis not in (-1, build.rank(op.inputs[0]) - 1):
            raise Unsupported("before opset 13 it flattens the axes behind its own")  # a different function
        build.module(op, make(dim=axis))

    return handle


def _same_value(build: OnnxBuilder, op: Op) -> None:
    """Let the output be the input: identities, and dropout at inference."""
    source, target = op.inputs[0], op.outputs[0]
    if source in build.constants:
        build.constants[target] = build.constants[source]
    else:
        build.values[target] = build.value(source)


def _cast(build: OnnxBuilder, op: Op) -> None:
    name = op.inputs[0]
    if name in build.sizes:
        SHAPE_HANDLES["Cast"](build, op)
    elif build.types.get(name) != op.get("to"):
        raise Unsupported("it changes the element type")
    else:
        _same_value(build, op)


def _module(make: Callable[[Op], nn.Module]) -> Handle:
    return lambda build, op: build.module(op, make(op))


def _unary(function: Callable[..., Any]) -> Handle:
    return lambda build, op: build.function(op, function, build.value(op.inputs[0]))


def _folded(function: Callable[..., Any]) -> Handle:
    """Apply a function of two to all inputs, from the left."""

    def handle(build: OnnxBuilder, op: Op) -> None:
        if any(name in build.sizes for name in op.inputs) and op.kind in SIZE_ARITHMETIC:
            SIZE_ARITHMETIC[op.kind](build, op)
            return
        first, *others = (build.value(name) for name in op.inputs)
        build.values[op.outputs[0]] = reduce(
            lambda left, right: build.graph.call_function(function, (left, right)), others, first
        )

    return handle


HANDLES: dict[str, Handle] = {
    **SHAPE_HANDLES,
    **WINDOW_HANDLES,
    **MOVE_HANDLES,
    "Abs": _unary(torch.abs),
    "Add": _folded(operator.add),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Div": _folded(operator.truediv),
    "Dropout": _same_value,
    "Elu": _module(lambda op: nn.ELU(op.get("alpha", 1.0))),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Gelu": _module(lambda op: nn.GELU(op.get("approximate", "none"))),
    "Gemm": _gemm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _module(lambda op: nn.Hardswish()),
    "Identity": _same_value,
    "InstanceNormalization": _instance_norm,
    "LRN": _local_response_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _module(lambda op: nn.LeakyReLU(op.get("alpha", 0.01))),
    "Log": _unary(torch.log),
    "LogSoftmax": _softmax(nn.LogSoftmax),
    "MatMul": _matmul,
    "Max": _folded(torch.maximum),
    "Min": _folded(torch.minimum),
    "Mish": _module(lambda op: nn.Mish()),
    "Mul": _folded(operator.mul),
    "Neg": _unary(operator.neg),
    "PRelu": _prelu,
    "Pow": _folded(torch.pow),
    "Reciprocal": _unary(torch.reciprocal),
    "ReduceL2": _reduction(torch.linalg.vector_norm),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean, is_mean=True),
    "ReduceMin": _reduction(torch.amin),
    "ReduceSum": _reduction(torch.sum),
    "Relu": _module(lambda op: nn.ReLU()),
    "Sigmoid": _module(lambda op: nn.Sigmoid()),
    "Softmax": _softmax(nn.Softmax),
    "Softplus": _module(lambda op: nn.Softplus()),
    "Sqrt": _unary(torch.sqrt),
    "Sub": _folded(operator.sub),
    "Sum": _folded(operator.add),
    "Tanh": _module(lambda op: nn.Tanh()),
}
