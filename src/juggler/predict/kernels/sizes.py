"""What follows from a kernel's fields: its output, its work and its traffic, of one kernel or of many.

Every formula takes a mapping of columns and is written with operators that Python's integers and numpy's
arrays share, so that `KernelSpec` and `KernelTable` cannot disagree. Bytes are those of float32, but for the
families of int8, whose activations and weights take one byte, and whose biases and sums take four.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from juggler.count.geometry import macs_of

WORD_BYTES = 4  # float32
INT8 = ("int8_conv", "int8_dense", "int8_pass")
WINDOWED = ("conv", "depthwise", "pool", "int8_conv")
CONVOLUTIONS = ("conv", "depthwise", "int8_conv")
DENSE = ("dense", "int8_dense")
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
# Elementwise kernels of two inputs of the output's size; `scale` multiplies by one number a channel.
BINARY = ("mul", "sub", "div", "pow", "max", "min")

Columns = Mapping[str, Any]  # whole numbers, or arrays of them, by field


def out_height(family: str, of: Columns) -> Any:
    """Return the rows written."""
    return _out(family, of, "height", "pad_top", "pad_bottom")


def out_width(family: str, of: Columns) -> Any:
    """Return the columns written."""
    return _out(family, of, "width", "pad_left", "pad_right")


def macs(family: str, of: Columns) -> Any:
    """Return multiply-accumulates, taps on padding included; zero for what only compares, adds or moves."""
    channels = of["in_channels"], of["out_channels"]
    if family in CONVOLUTIONS:
        positions = of["batch"] * out_height(family, of) * out_width(family, of)
        return macs_of(positions, *channels, groups=of["groups"], taps=_taps(of))
    if family in DENSE:
        return macs_of(of["batch"] * of["height"] * of["width"], *channels, groups=of["groups"])
    if family == "recurrent":
        return of["batch"] * of["height"] * gates(of) * of["out_channels"] * _gate_inputs(of)
    return 0 * of["batch"]


def gates(of: Columns) -> Any:
    """Return how many products of the hidden state a recurrent layer makes at each step."""
    return sum(count * (of["kind"] == kind) for kind, count in GATES.items()) + 4 * (of["kind"] == "")


def operations(family: str, of: Columns) -> Any:
    """Return arithmetic operations: two a MAC, one a tap of a pool's window, one an element elsewhere."""
    if family in (*CONVOLUTIONS, *DENSE, "recurrent"):
        return 2 * macs(family, of)
    if family == "pool":
        return _out_words(family, of) * _taps(of)
    return _in_words(of)


def input_bytes(family: str, of: Columns) -> Any:
    """Return the bytes of all activations read: also those added to the result, and a second factor."""
    words = _in_words(of) + of["adds"] * _out_words(family, of)
    if family == "add":
        words = words + _where_kind(of["kind"], "broadcast", of["in_channels"], _in_words(of))
    elif family == "elementwise":
        two = sum(1 * (of["kind"] == kind) for kind in BINARY)
        scale = 1 * (of["kind"] == "scale")
        words = words + two * _in_words(of) + scale * of["batch"] * of["in_channels"]
    elif family == "dense":
        factor = of["batch"] * of["in_channels"] * of["out_channels"] // of["groups"]
        words = words + _where_kind(of["kind"], "product", factor, 0)
    elif family == "int8_pass":
        words = words + _where_kind(of["kind"], "add", _in_words(of), 0)
    return _read_bytes(family, of) * words


def weight_bytes(family: str, of: Columns) -> Any:
    """Return the bytes of weights and biases; a product of two activations has none."""
    weights = of["out_channels"] * (of["in_channels"] // of["groups"])
    bias = of["bias"] * of["out_channels"]
    weight_word = 1 if family in INT8 else WORD_BYTES
    if family in CONVOLUTIONS:
        return weight_word * weights * _taps(of) + WORD_BYTES * bias
    if family == "int8_dense":
        return weight_word * weights + WORD_BYTES * bias
    if family == "recurrent":
        return WORD_BYTES * gates(of) * of["out_channels"] * (_gate_inputs(of) + 2 * of["bias"])
    if family == "dense":
        return WORD_BYTES * (_where_kind(of["kind"], "product", 0, weights) + bias)
    if family == "norm":  # batch norm keeps scale, shift, mean and variance; layer norm the first two
        return WORD_BYTES * of["in_channels"] * _where_kind(of["kind"], "layer", 2, 4)
    return 0 * weights


def output_bytes(family: str, of: Columns) -> Any:
    """Return the bytes written."""
    return _written_bytes(family, of) * _out_words(family, of)


def total_bytes(family: str, of: Columns) -> Any:
    """Return the bytes read and written, each once."""
    return input_bytes(family, of) + weight_bytes(family, of) + output_bytes(family, of)


def im2col_bytes(family: str, of: Columns) -> Any:
    """Return the bytes of the matrix that a convolution as one matrix product would unfold; else zero."""
    if family not in CONVOLUTIONS:
        return 0 * of["batch"]
    positions = of["batch"] * out_height(family, of) * out_width(family, of)
    return (1 if family in INT8 else WORD_BYTES) * positions * of["in_channels"] * _taps(of)


DERIVED: Mapping[str, Callable[[str, Columns], Any]] = {
    "out_height": out_height,
    "out_width": out_width,
    "macs": macs,
    "operations": operations,
    "input_bytes": input_bytes,
    "weight_bytes": weight_bytes,
    "output_bytes": output_bytes,
    "bytes": total_bytes,
    "im2col_bytes": im2col_bytes,
}


def _out(family: str, of: Columns, side: str, before: str, after: str) -> Any:
    if family == "global_pool":
        return of[side] // of[side]
    if family not in WINDOWED:
        return of[side]
    span = of[f"dilation_{side}"] * (of[f"kernel_{side}"] - 1) + 1
    return (of[side] + of[before] + of[after] - span) // of[f"stride_{side}"] + 1


def _read_bytes(family: str, of: Columns) -> Any:
    """Return the bytes of a number that is read."""
    if family not in INT8:
        return WORD_BYTES
    is_float = {"int8_dense": ("dynamic",), "int8_pass": ("", "quantize", "dynamic")}.get(family, ())
    return 1 + 3 * sum(1 * (of["kind"] == kind) for kind in is_float)


def _written_bytes(family: str, of: Columns) -> Any:
    """Return the bytes of a number that is written."""
    if family not in INT8:
        return WORD_BYTES
    wide = {"int8_conv": "integer", "int8_dense": "dynamic", "int8_pass": "dequantize"}[family]
    return 1 + 3 * (of["kind"] == wide)


def _gate_inputs(of: Columns) -> Any:
    """Return what each gate of a recurrent layer multiplies: the input, and its direction's hidden state."""
    return of["in_channels"] + of["out_channels"] // of["groups"]


def _taps(of: Columns) -> Any:
    return of["kernel_height"] * of["kernel_width"]


def _in_words(of: Columns) -> Any:
    return of["batch"] * of["in_channels"] * of["height"] * of["width"]


def _out_words(family: str, of: Columns) -> Any:
    return of["batch"] * of["out_channels"] * out_height(family, of) * out_width(family, of)


def _where_kind(kinds: Any, kind: str, then: Any, otherwise: Any) -> Any:
    """Choose by a category, of one kernel or row by row."""
    is_kind = 1 * (kinds == kind)
    return is_kind * then + (1 - is_kind) * otherwise
