"""One handle an ONNX op: what it is in torch. `HANDLES` is the table."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional

from juggler.runtime.importers._onnx_graph import Handle, OnnxBuilder, Op, Unsupported, parameter, tensor
from juggler.runtime.importers._onnx_moves import MOVE_HANDLES
from juggler.runtime.importers._onnx_recurrent import RECURRENT_HANDLES
from juggler.runtime.importers._onnx_resize import RESIZE_HANDLES
from juggler.runtime.importers._onnx_shapes import SHAPE_HANDLES, known_numbers
from juggler.runtime.importers._onnx_windows import GLOBAL_POOLS, WINDOW_HANDLES, of_rank

BATCH_NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORMS = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
HARD_SIXTH = np.float32(1 / 6)
SELU_ALPHA, SELU_GAMMA = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


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


def _reduction(function: Callable[..., Any], *, is_mean: bool = False, **options: Any) -> Handle:
    """Reduce along the axes that are named, along all where none is."""

    def handle(build: OnnxBuilder, op: Op) -> None:
        axes = op.get("axes") or (known_numbers(build, op.inputs[1]) if op.has_input(1) else [])
        rank, keeps = build.rank(op.inputs[0]), bool(op.get("keepdims", 1))
        if not axes and op.get("noop_with_empty_axes", 0):
            _same_value(build, op)
            return
        axes = sorted(axis % rank for axis in axes or range(rank))
        if is_mean and keeps and rank > 2 and axes == list(range(2, rank)):
            build.module(op, of_rank(GLOBAL_POOLS, rank - 2)(1))
        else:
            value = build.value(op.inputs[0])
            build.function(op, function, value, dim=tuple(axes), keepdim=keeps, **options)

    return handle


def _of_results(
    before: Callable[..., Any] | None, function: Callable[..., Any], behind: Callable[..., Any] | None
) -> Handle:
    """Reduce what a function makes of the values, or apply one to what was reduced."""

    def handle(build: OnnxBuilder, op: Op) -> None:
        _reduction(function)(build, op)
        reduction = build.values[op.outputs[0]]
        if before is not None:
            with build.graph.inserting_before(reduction):
                reduction.update_arg(0, build.add_function(before, build.value(op.inputs[0])))
        if behind is not None:
            build.function(op, behind, reduction)

    return handle


def _product(build: OnnxBuilder, op: Op) -> None:
    axes = op.get("axes") or (known_numbers(build, op.inputs[1]) if op.has_input(1) else [])
    rank, keeps, value = build.rank(op.inputs[0]), bool(op.get("keepdims", 1)), build.value(op.inputs[0])
    for axis in sorted((axis % rank for axis in axes or range(rank)), reverse=True):
        value = build.add_function(torch.prod, value, dim=axis, keepdim=keeps)
    build.values[op.outputs[0]] = value


def _choice(function: Callable[..., Any]) -> Handle:
    """Return where the largest, or the smallest, lies along an axis."""

    def handle(build: OnnxBuilder, op: Op) -> None:
        if op.get("select_last_index", 0):
            raise Unsupported("it takes the last of equal ones")
        axis, keeps = op.get("axis", 0), bool(op.get("keepdims", 1))
        build.function(op, function, build.value(op.inputs[0]), dim=axis, keepdim=keeps)

    return handle


def _top_k(build: OnnxBuilder, op: Op) -> None:
    count = op.get("k") or known_numbers(build, op.inputs[1])[0]
    if not op.get("sorted", 1):
        raise Unsupported("its results are in no order")
    both = build.add_function(
        torch.topk, build.value(op.inputs[0]), count, op.get("axis", -1), bool(op.get("largest", 1))
    )
    for at, name in enumerate(op.outputs):
        build.values[name] = build.add_function(operator.getitem, both, at)


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
        rank = build.rank(op.inputs[0])
        axis = op.get("axis", -1 if build.opset >= 13 else 1) % rank
        behind = build.shapes[op.inputs[0]][axis + 1 :]
        if build.opset >= 13 or all(size == 1 for size in behind):
            build.module(op, make(dim=axis))
            return
        # Before opset 13 it is over all the axes from its own on.
        joined = build.add_function(torch.flatten, build.value(op.inputs[0]), axis)
        result = build.add_module(op.name, make(dim=-1), joined)
        sizes = (-1, *map(build.running, behind))
        build.function(op, torch.unflatten, result, axis, sizes)

    return handle


def _same_value(build: OnnxBuilder, op: Op) -> None:
    """Let the output be the input: identities, and dropout at inference."""
    source, target = op.inputs[0], op.outputs[0]
    if source in build.constants:
        build.constants[target] = build.constants[source]
    else:
        build.values[target] = build.value(source)


def _cast(build: OnnxBuilder, op: Op) -> None:
    """Change the element type; to numbers with a point by what follows the network's own type."""
    have, want = build.types.get(op.inputs[0]), op.get("to")
    if have == want:
        _same_value(build, op)
        return
    dtype = _torch_type(want)
    value = build.value(op.inputs[0])
    if dtype == torch.bool:
        build.function(op, operator.ne, value, 0)
    elif dtype.is_floating_point:
        like = build.add_buffer(f"{op.name}_type", torch.zeros((), dtype=dtype))
        build.values[op.outputs[0]] = build.graph.call_method("type_as", (value, like))
    else:
        build.values[op.outputs[0]] = build.graph.call_method("to", (value, dtype))


def _torch_type(kind: Any) -> torch.dtype:
    try:
        return torch.from_numpy(np.zeros(1, onnx.helper.tensor_dtype_to_np_dtype(kind))).dtype
    except (KeyError, TypeError) as error:
        raise Unsupported(
            f"its element type, {onnx.TensorProto.DataType.Name(kind)}, is not torch's"
        ) from error


def _cast_like(build: OnnxBuilder, op: Op) -> None:
    build.values[op.outputs[0]] = build.graph.call_method(
        "type_as", (build.value(op.inputs[0]), build.value(op.inputs[1]))
    )


def _divide(build: OnnxBuilder, op: Op) -> None:
    if build.dtype(op.outputs[0]).kind in "iu":
        values = (build.value(name) for name in op.inputs)
        build.function(op, torch.div, *values, rounding_mode="trunc")
    else:
        _pairwise(operator.truediv)(build, op)


def _modulo(build: OnnxBuilder, op: Op) -> None:
    values = (build.value(name) for name in op.inputs)
    build.function(op, torch.fmod if op.get("fmod", 0) else torch.remainder, *values)


def _where(build: OnnxBuilder, op: Op) -> None:
    build.function(op, torch.where, *(build.value(name) for name in op.inputs))


def _einsum(build: OnnxBuilder, op: Op) -> None:
    build.function(op, torch.einsum, op.get("equation"), *(build.value(name) for name in op.inputs))


def _cumulative_sum(build: OnnxBuilder, op: Op) -> None:
    if op.get("exclusive", 0) or op.get("reverse", 0):
        raise Unsupported("it runs backwards, or leaves out the last")
    (axis,) = known_numbers(build, op.inputs[1])
    build.function(op, torch.cumsum, build.value(op.inputs[0]), axis)


def _norm_of_vectors(build: OnnxBuilder, op: Op) -> None:
    value = build.value(op.inputs[0])
    build.function(
        op, functional.normalize, value, p=float(op.get("p", 2)), dim=op.get("axis", -1), eps=1e-12
    )


def _group_norm(build: OnnxBuilder, op: Op) -> None:
    scale, shift, groups = build.constant(op, 1), build.constant(op, 2), op.get("num_groups")
    channels = build.shapes.get(op.inputs[0], (0, 0))[1]
    if not isinstance(channels, int) or scale.ndim != 1:
        raise Unsupported("its channels are free")
    if build.opset < 21:  # one a group, then
        scale, shift = (np.repeat(part, channels // groups) for part in (scale, shift))
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
        offset = build.add_buffer(f"{op.name}_zero", tensor(zero.astype(scale.dtype).reshape(spread)))
        value = build.add_function(operator.sub, value, offset)
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


def _module(make: Callable[[Op], nn.Module]) -> Handle:
    return lambda build, op: build.module(op, make(op))


def _unary(function: Callable[..., Any]) -> Handle:
    return lambda build, op: build.function(op, function, build.value(op.inputs[0]))


def _pairwise(function: Callable[..., Any]) -> Handle:
    """Apply a function of two to all inputs, from the left."""

    def handle(build: OnnxBuilder, op: Op) -> None:
        first, *others = (build.value(name) for name in op.inputs)
        build.values[op.outputs[0]] = reduce(
            lambda left, right: build.graph.call_function(function, (left, right)), others, first
        )

    return handle


def _mean(build: OnnxBuilder, op: Op) -> None:
    _pairwise(operator.add)(build, op)
    build.function(op, operator.truediv, build.values[op.outputs[0]], float(len(op.inputs)))


def _is_infinite(build: OnnxBuilder, op: Op) -> None:
    if not (op.get("detect_positive", 1) and op.get("detect_negative", 1)):
        raise Unsupported("it looks at one sign only")
    build.function(op, torch.isinf, build.value(op.inputs[0]))


def _selu(build: OnnxBuilder, op: Op) -> None:
    alpha, gamma = op.get("alpha", SELU_ALPHA), op.get("gamma", SELU_GAMMA)
    value = build.add_function(functional.elu, build.value(op.inputs[0]), alpha)
    build.function(op, operator.mul, value, gamma)


HANDLES: dict[str, Handle] = {
    **SHAPE_HANDLES,
    **WINDOW_HANDLES,
    **MOVE_HANDLES,
    **RESIZE_HANDLES,
    **RECURRENT_HANDLES,
    "Abs": _unary(torch.abs),
    "Add": _pairwise(operator.add),
    "BatchNormalization": _batch_norm,
    "And": _pairwise(torch.logical_and),
    "ArgMax": _choice(torch.argmax),
    "ArgMin": _choice(torch.argmin),
    "Cast": _cast,
    "CastLike": _cast_like,
    "Ceil": _unary(torch.ceil),
    "Celu": _module(lambda op: nn.CELU(op.get("alpha", 1.0))),
    "Clip": _clip,
    "Cos": _unary(torch.cos),
    "CumSum": _cumulative_sum,
    "DequantizeLinear": _dequantize,
    "Div": _divide,
    "Dropout": _same_value,
    "Einsum": _einsum,
    "Elu": _module(lambda op: nn.ELU(op.get("alpha", 1.0))),
    "Erf": _unary(torch.erf),
    "Equal": _pairwise(torch.eq),
    "Exp": _unary(torch.exp),
    "Floor": _unary(torch.floor),
    "Gelu": _module(lambda op: nn.GELU(op.get("approximate", "none"))),
    "Gemm": _gemm,
    "Greater": _pairwise(torch.gt),
    "GreaterOrEqual": _pairwise(torch.ge),
    "GroupNormalization": _group_norm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _module(lambda op: nn.Hardswish()),
    "Identity": _same_value,
    "InstanceNormalization": _instance_norm,
    "IsInf": _is_infinite,
    "IsNaN": _unary(torch.isnan),
    "LRN": _local_response_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _module(lambda op: nn.LeakyReLU(op.get("alpha", 0.01))),
    "Less": _pairwise(torch.lt),
    "LessOrEqual": _pairwise(torch.le),
    "Log": _unary(torch.log),
    "LogSoftmax": _softmax(nn.LogSoftmax),
    "LpNormalization": _norm_of_vectors,
    "MatMul": _matmul,
    "Max": _pairwise(torch.maximum),
    "Mean": _mean,
    "Min": _pairwise(torch.minimum),
    "Mish": _module(lambda op: nn.Mish()),
    "Mod": _modulo,
    "Mul": _pairwise(operator.mul),
    "Neg": _unary(operator.neg),
    "Not": _unary(torch.logical_not),
    "Or": _pairwise(torch.logical_or),
    "PRelu": _prelu,
    "Pow": _pairwise(torch.pow),
    "QuantizeLinear": _quantize,
    "Reciprocal": _unary(torch.reciprocal),
    "ReduceL1": _reduction(torch.linalg.vector_norm, ord=1),
    "ReduceL2": _reduction(torch.linalg.vector_norm),
    "ReduceLogSum": _of_results(None, torch.sum, torch.log),
    "ReduceLogSumExp": _reduction(torch.logsumexp),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean, is_mean=True),
    "ReduceMin": _reduction(torch.amin),
    "ReduceProd": _product,
    "ReduceSum": _reduction(torch.sum),
    "ReduceSumSquare": _of_results(torch.square, torch.sum, None),
    "Relu": _module(lambda op: nn.ReLU()),
    "Round": _unary(torch.round),
    "Selu": _selu,
    "Sigmoid": _module(lambda op: nn.Sigmoid()),
    "Sign": _unary(torch.sign),
    "Sin": _unary(torch.sin),
    "Softmax": _softmax(nn.Softmax),
    "Softplus": _module(lambda op: nn.Softplus()),
    "Softsign": _module(lambda op: nn.Softsign()),
    "Sqrt": _unary(torch.sqrt),
    "Sub": _pairwise(operator.sub),
    "Sum": _pairwise(operator.add),
    "Tanh": _module(lambda op: nn.Tanh()),
    "ThresholdedRelu": _module(lambda op: nn.Threshold(op.get("alpha", 1.0), 0.0)),
    "TopK": _top_k,
    "Where": _where,
    "Xor": _pairwise(torch.logical_xor),
}
