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

from juggler.runtime.importers._onnx_graph import Handle, OnnxBuilder, Op, Unsupported
from juggler.runtime.importers._onnx_layers import LAYER_HANDLES
from juggler.runtime.importers._onnx_moves import MOVE_HANDLES
from juggler.runtime.importers._onnx_recurrent import RECURRENT_HANDLES
from juggler.runtime.importers._onnx_resize import RESIZE_HANDLES
from juggler.runtime.importers._onnx_shapes import SHAPE_HANDLES, known_numbers
from juggler.runtime.importers._onnx_windows import GLOBAL_POOLS, WINDOW_HANDLES, of_rank

HARD_SIXTH = np.float32(1 / 6)
SELU_ALPHA, SELU_GAMMA = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


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
    **LAYER_HANDLES,
    **MOVE_HANDLES,
    **RESIZE_HANDLES,
    **RECURRENT_HANDLES,
    "Abs": _unary(torch.abs),
    "Add": _pairwise(operator.add),
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
    "Div": _divide,
    "Dropout": _same_value,
    "Einsum": _einsum,
    "Elu": _module(lambda op: nn.ELU(op.get("alpha", 1.0))),
    "Erf": _unary(torch.erf),
    "Equal": _pairwise(torch.eq),
    "Exp": _unary(torch.exp),
    "Floor": _unary(torch.floor),
    "Gelu": _module(lambda op: nn.GELU(op.get("approximate", "none"))),
    "Greater": _pairwise(torch.gt),
    "GreaterOrEqual": _pairwise(torch.ge),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _module(lambda op: nn.Hardswish()),
    "Identity": _same_value,
    "IsInf": _is_infinite,
    "IsNaN": _unary(torch.isnan),
    "LeakyRelu": _module(lambda op: nn.LeakyReLU(op.get("alpha", 0.01))),
    "Less": _pairwise(torch.lt),
    "LessOrEqual": _pairwise(torch.le),
    "Log": _unary(torch.log),
    "LogSoftmax": _softmax(nn.LogSoftmax),
    "LpNormalization": _norm_of_vectors,
    "Max": _pairwise(torch.maximum),
    "Mean": _mean,
    "Min": _pairwise(torch.minimum),
    "Mish": _module(lambda op: nn.Mish()),
    "Mod": _modulo,
    "Mul": _pairwise(operator.mul),
    "Neg": _unary(operator.neg),
    "Not": _unary(torch.logical_not),
    "Or": _pairwise(torch.logical_or),
    "Pow": _pairwise(torch.pow),
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
