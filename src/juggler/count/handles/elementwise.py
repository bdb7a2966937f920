"""What works on every element by itself: arithmetic, comparisons, activations.

One evaluation of exp, log, a root, a trigonometric or an error function counts as one function, whatever it
takes on a machine. A division is a multiplication, a change of sign and an absolute value are one operation
each, a choice between two values is none.
"""

from __future__ import annotations

from math import prod

from juggler.count.work import Call, Handle, Work, per_element

# For each element of the result: additions, multiplications, comparisons, functions.
_ARITHMETIC: dict[str, tuple[int, int, int, int]] = {
    "mul": (0, 1, 0, 0),
    "div": (0, 1, 0, 0),
    "true_divide": (0, 1, 0, 0),
    "floor_divide": (0, 1, 1, 0),
    "remainder": (1, 2, 1, 0),  # x - floor(x / y) y
    "fmod": (1, 2, 1, 0),
    "reciprocal": (0, 1, 0, 0),
    "square": (0, 1, 0, 0),
    "neg": (1, 0, 0, 0),
    "abs": (0, 0, 1, 0),
    "sign": (0, 0, 1, 0),
    "sgn": (0, 0, 1, 0),
    "angle": (0, 0, 0, 1),
    "polar": (0, 2, 0, 2),  # a length times the cosine and the sine of an angle
    "addcmul": (1, 2, 0, 0),  # self + value * one * other
    "addcdiv": (1, 2, 0, 0),
    "logaddexp": (2, 0, 2, 2),  # the larger + log(1 + exp(-|difference|))
    "lerp": (2, 1, 0, 0),  # start + weight * (end - start)
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), (0, 0, 1, 0)),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite"), (0, 0, 1, 0)),
    **dict.fromkeys(("floor", "ceil", "round", "trunc", "frac"), (0, 0, 1, 0)),
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor", "logical_not"), (0, 0, 1, 0)),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"), (0, 0, 1, 0)),
    **dict.fromkeys(("__and__", "__or__", "__xor__"), (0, 0, 1, 0)),
    **dict.fromkeys(("exp", "exp2", "expm1", "log", "log2", "log10", "log1p"), (0, 0, 0, 1)),
    **dict.fromkeys(("sin", "cos", "tan", "asin", "acos", "atan", "atan2"), (0, 0, 0, 1)),
    **dict.fromkeys(("sinh", "cosh", "erf", "erfc", "sqrt", "rsqrt"), (0, 0, 0, 1)),
}
_ACTIVATIONS: dict[str, tuple[int, int, int, int]] = {
    "relu": (0, 0, 1, 0),
    "threshold": (0, 0, 1, 0),
    "relu6": (0, 0, 2, 0),
    "hardtanh": (0, 0, 2, 0),
    "leaky_relu": (0, 1, 1, 0),
    "rrelu": (0, 1, 1, 0),
    "_prelu_kernel": (0, 1, 1, 0),
    "prelu": (0, 1, 1, 0),
    "elu": (1, 1, 1, 1),  # a (exp(x) - 1) below zero
    "celu": (1, 2, 1, 1),
    "selu": (1, 2, 1, 1),
    "sigmoid": (1, 1, 0, 1),  # 1 / (1 + exp(-x))
    "log_sigmoid": (1, 0, 0, 2),
    "log_sigmoid_forward": (1, 0, 0, 2),
    "tanh": (0, 0, 0, 1),
    "silu": (1, 2, 0, 1),
    "mish": (1, 1, 0, 3),  # x tanh(log(1 + exp(x)))
    "softplus": (1, 0, 1, 2),  # x itself above the threshold
    "hardsigmoid": (1, 1, 2, 0),  # clamp(x + 3, 0, 6) / 6
    "hardswish": (1, 2, 2, 0),
    "hardshrink": (0, 0, 1, 0),
    "softshrink": (1, 0, 2, 0),
}
_POWERS: dict[float, int] = {1: 0, 2: 1, 3: 2, 4: 2, -1: 1}
_ERF_GELU = (1, 3, 0, 1)  # 0.5 x (1 + erf(c x))
_TANH_GELU = (2, 6, 0, 1)  # 0.5 x (1 + tanh(c (x + a x³)))


def _handle(kind: str, each: tuple[int, int, int, int]) -> Handle:
    return lambda call: per_element(kind, prod(call.out), each)


def _add(call: Call) -> Work:
    """Count `self + alpha * other`, and `self - alpha * other`."""
    scaled = int(call.arguments.get("alpha", 1) != 1)
    return per_element("elementwise", prod(call.out), (1, scaled, 0, 0))


def _clamp(call: Call) -> Work:
    """Count one comparison a bound."""
    return per_element("activation", prod(call.out), (0, 0, int(call.has("min")) + int(call.has("max")), 0))


def _clamp_by_one(call: Call) -> Work:
    return per_element("activation", prod(call.out), (0, 0, 1, 0))


def _pow(call: Call) -> Work:
    """Count a power: by whole numbers up to four in multiplications, by any other in a function."""
    exponent = call["exponent"]
    multiplications = _POWERS.get(exponent) if isinstance(exponent, int | float) else None
    each = (0, 0, 0, 1) if multiplications is None else (0, multiplications, 0, 0)
    return per_element("elementwise", prod(call.out), each)


def _gelu(call: Call) -> Work:
    each = _TANH_GELU if call.arguments.get("approximate") == "tanh" else _ERF_GELU
    return per_element("activation", prod(call.out), each)


def _glu(call: Call) -> Work:
    """Count one half by the sigmoid of the other."""
    return per_element("activation", prod(call.out), (1, 2, 0, 1))


HANDLES: dict[str, Handle] = {
    **{f"aten.{name}": _handle("elementwise", each) for name, each in _ARITHMETIC.items()},
    **{f"aten.{name}": _handle("activation", each) for name, each in _ACTIVATIONS.items()},
    **dict.fromkeys(("aten.add", "aten.sub", "aten.rsub"), _add),
    "aten.clamp": _clamp,
    **dict.fromkeys(("aten.clamp_min", "aten.clamp_max"), _clamp_by_one),
    "aten.pow": _pow,
    "aten.gelu": _gelu,
    "aten.glu": _glu,
}
