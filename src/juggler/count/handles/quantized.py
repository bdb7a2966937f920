"""Operators on quantised numbers: the work of their like on real ones.

What an int8 kernel rounds and scales inside of itself is not counted; quantising by itself is.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from juggler.count.handles.convolution import HANDLES as CONVOLUTIONS
from juggler.count.handles.elementwise import HANDLES as ELEMENTWISE
from juggler.count.handles.products import HANDLES as PRODUCTS
from juggler.count.work import Call, Handle, Work, per_element

QUANTISE = (1, 1, 3, 0)  # scaled, shifted, rounded, and clipped at both ends
DEQUANTISE = (1, 1, 0, 0)
# For each number of a state: biases, sums of two products, sigmoids, tanh, and how old and new are mixed.
_CELLS = {4: (8 + 4 + 3 + 1, 3 + 3, 0, 3 + 2), 3: (6 + 3 + 2 + 2, 2 + 1 + 1, 0, 2 + 1), 1: (2 + 1, 0, 0, 1)}
_OPERANDS = ("X", "qx", "qa", "self", "input")


def recurrent_work(steps: int, gates: int, states: int, weights: int) -> Work:
    """Return the work of one layer of a recurrent network in one direction.

    Args:
        steps: time steps, times members of the batch.
        gates: 4 of an LSTM, 3 of a GRU, 1 of a plain network.
        states: numbers of one state.
        weights: of both matrices, biases left out.
    """
    return replace(per_element("linear", steps * states, _CELLS[gates]), macs=steps * weights)


def _like(handle: Handle) -> Handle:
    """Return a handle whose first operand is called what its like on real numbers calls it."""

    def counted(call: Call) -> Work | tuple[Work, ...]:
        operand = next(call[name] for name in _OPERANDS if call.has(name))
        return handle(replace(call, arguments={"input": operand, "self": operand, **call.arguments}))

    return counted


def _each(kind: str, each: tuple[int, int, int, int]) -> Handle:
    return lambda call: per_element(kind, prod(call.out), each)


def _recurrent(gates: int) -> Handle:
    """Return the handle of layers by their weights `[gates x states, ins]`, of inputs and states in turn."""

    def handle(call: Call) -> Work:
        matrices = [tuple(tensor.shape) for tensor in call["params"] if tensor.ndim == 2]
        steps = prod(call.size("input")[:-1])
        layers = [
            recurrent_work(steps, gates, states[1], prod(ins) + prod(states))
            for ins, states in zip(matrices[::2], matrices[1::2], strict=True)
        ]
        return Work(
            "linear",
            macs=sum(layer.macs for layer in layers),
            additions=sum(layer.additions for layer in layers),
            multiplications=sum(layer.multiplications for layer in layers),
            functions=sum(layer.functions for layer in layers),
        )

    return handle


_LINEAR, _CONVOLVE = _like(PRODUCTS["aten.linear"]), _like(CONVOLUTIONS["aten.convolution"])
HANDLES: dict[str, Handle] = {
    **{f"quantized.linear{end}": _LINEAR for end in ("", "_relu", "_dynamic", "_relu_dynamic")},
    "quantized.linear_dynamic_fp16": _LINEAR,
    **{f"quantized.conv{d}d{end}": _CONVOLVE for d in (1, 2, 3) for end in ("", "_relu", "_dynamic")},
    **{f"quantized.conv_transpose{d}d{end}": _CONVOLVE for d in (1, 2, 3) for end in ("", "_dynamic")},
    **{f"quantized.add{end}": _each("elementwise", (1, 0, 0, 0)) for end in ("", "_scalar")},
    **{f"quantized.add{end}_relu": _each("elementwise", (1, 0, 1, 0)) for end in ("", "_scalar")},
    **{f"quantized.mul{end}": _each("elementwise", (0, 1, 0, 0)) for end in ("", "_scalar")},
    **{f"quantized.mul{end}_relu": _each("elementwise", (0, 1, 1, 0)) for end in ("", "_scalar")},
    **{
        f"quantized.{name}": _like(ELEMENTWISE[f"aten.{name}"])
        for name in ("hardswish", "leaky_relu", "elu", "sigmoid", "celu")
    },
    **{f"quantized.batch_norm{d}d": _each("norm", (1, 1, 0, 0)) for d in (1, 2, 3)},
    **{f"quantized.batch_norm{d}d_relu": _each("norm", (1, 1, 1, 0)) for d in (1, 2, 3)},
    **dict.fromkeys(("quantized.cat", "quantized.embedding_byte"), lambda _: Work("move")),
    **{
        f"aten.quantize_per_{kind}": _each("elementwise", QUANTISE)
        for kind in ("tensor", "channel", "tensor_dynamic")
    },
    "aten.dequantize": _each("elementwise", DEQUANTISE),
    "aten.quantized_lstm": _recurrent(4),
    "aten.quantized_gru": _recurrent(3),
}
