"""Handles of arithmetic element by element, norms, pools, reductions, resampling, moves and views."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from juggler.count.handles.quantized import DEQUANTISE, QUANTISE
from juggler.count.work import Work, per_element
from juggler.runtime.counting.node import Handle, Node, like

_LIKE_ONE = {
    **{op: op.lower() for op in ("Neg", "Abs", "Sign", "Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Floor")},
    **{
        op: op.lower()
        for op in ("Ceil", "Round", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh")
    },
    **{op: op.lower() for op in ("Relu", "Elu", "Celu", "Selu", "Sigmoid", "Tanh", "Softplus", "Mish")},
    **{"Div": "div", "Mul": "mul", "Add": "add", "Sub": "sub", "PRelu": "prelu", "LeakyRelu": "leaky_relu"},
    **{"HardSigmoid": "hardsigmoid", "HardSwish": "hardswish", "ThresholdedRelu": "threshold"},
    **{"Shrink": "softshrink", "Swish": "silu", "Not": "logical_not", "BitwiseNot": "bitwise_not"},
    **{"And": "logical_and", "Or": "logical_or", "Xor": "logical_xor", "Equal": "eq", "Greater": "gt"},
    **{"Less": "lt", "GreaterOrEqual": "ge", "LessOrEqual": "le", "IsNaN": "isnan", "IsInf": "isinf"},
    **{
        "BitwiseAnd": "bitwise_and",
        "BitwiseOr": "bitwise_or",
        "BitwiseXor": "bitwise_xor",
        "Mod": "remainder",
    },
}
_EACH = {  # for each element of the result: kind, and additions, multiplications, comparisons, functions
    "Softsign": ("activation", (1, 1, 1, 0)),  # x / (1 + |x|)
    **dict.fromkeys(("Asinh", "Acosh", "Atanh"), ("elementwise", (0, 0, 0, 1))),
    "BitShift": ("elementwise", (0, 1, 0, 0)),
    "Hardmax": ("softmax", (0, 0, 1, 0)),
    "QuantizeLinear": ("elementwise", QUANTISE),
    "DequantizeLinear": ("elementwise", DEQUANTISE),
    "com.microsoft.QuantizeLinear": ("elementwise", QUANTISE),
    "com.microsoft.DequantizeLinear": ("elementwise", DEQUANTISE),
    "DynamicQuantizeLinear": ("elementwise", (1, 1, 5, 0)),  # and the least and the greatest of all
    "com.microsoft.QLinearAdd": ("elementwise", (1, 0, 0, 0)),
    "com.microsoft.QLinearMul": ("elementwise", (0, 1, 0, 0)),
    "com.microsoft.QLinearSigmoid": ("activation", (1, 1, 0, 1)),
    "com.microsoft.QLinearLeakyRelu": ("activation", (0, 1, 1, 0)),
    "com.microsoft.QuickGelu": ("activation", (1, 3, 0, 1)),  # x times the sigmoid of a x
}
_MOVES = (
    *(
        "Cast",
        "CastLike",
        "Concat",
        "Split",
        "Slice",
        "Pad",
        "Transpose",
        "Gather",
        "GatherElements",
        "GatherND",
    ),
    *("Tile", "Expand", "Where", "DepthToSpace", "SpaceToDepth", "OneHot", "NonZero", "ConstantOfShape"),
    *(
        "Range",
        "EyeLike",
        "Trilu",
        "Compress",
        "ReverseSequence",
        "MaxUnpool",
        "CenterCropPad",
        "ScatterElements",
    ),
    *("Scatter", "ScatterND", "com.microsoft.QLinearConcat", "com.microsoft.NhwcTranspose"),
)
_VIEWS = (
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape", "Size", "Constant"),
    *("Optional", "OptionalGetElement", "OptionalHasElement"),
)
_REDUCTIONS = {
    **{
        "ReduceSum": "aten.sum",
        "ReduceMean": "aten.mean",
        "ReduceMax": "aten.amax",
        "ReduceMin": "aten.amin",
    },
    **{"ReduceProd": "aten.prod", "ArgMax": "aten.argmax", "ArgMin": "aten.argmin", "CumSum": "aten.cumsum"},
    **{"ReduceLogSumExp": "aten.logsumexp"},
}
_NEIGHBOURS = {"nearest": 0, "linear": 2, "bilinear": 2, "cubic": 4, "bicubic": 4}
_CONTRIB_NORMS = ("com.microsoft.SkipLayerNormalization", "com.microsoft.SkipSimplifiedLayerNormalization")


def _each(kind: str, each: tuple[int, int, int, int]) -> Handle:
    return lambda node: per_element(kind, prod(node.out), each)


def _of_all(comparisons: int = 0, additions: int = 0, mean: int = 0) -> Handle:
    """Return the handle of an operator on any number of operands, taken in one after another."""

    def handle(node: Node) -> Work:
        more = len(node.inputs) - 1
        return per_element("elementwise", prod(node.out), (additions * more, mean, comparisons * more, 0))

    return handle


def _power(node: Node) -> Work:
    work: Work = node.work("aten.pow", {"self": 0}, exponent=(node.scalars or {}).get(1))
    return work


def _clip(node: Node) -> Work:
    bounds = sum(node.has(place) or name in node.attributes for place, name in ((1, "min"), (2, "max")))
    return per_element("activation", prod(node.out), (0, 0, bounds, 0))


def _gelu(node: Node) -> Work:
    work: Work = node.work("aten.gelu", {"self": 0}, approximate=node.attributes.get("approximate", "none"))
    return work


def _log_softmax(node: Node) -> Work:
    work: Work = node.work("aten._log_softmax", {"self": 0}, dim=int(node.attributes.get("axis", -1)))
    return work


def _layer_norm(operator: str, *, skip: bool = False) -> Handle:
    """Return the handle of a norm over the last sizes; one that skips adds another map first."""

    def handle(node: Node) -> Work:
        axis = int(node.attributes.get("axis", -1))
        weight, bias = (2, 3) if skip else (1, 2)
        inputs = {"input": 0, "weight": weight} | ({"bias": bias} if operator == "aten.layer_norm" else {})
        work: Work = node.work(operator, inputs, normalized_shape=node.size(0)[axis:])
        added = prod(node.out) * (1 + node.has(4)) if skip else 0
        return replace(work, additions=work.additions + added)

    return handle


def _group_norm(node: Node) -> Work:
    groups = int(node.attributes["num_groups"])
    work: Work = node.work("aten.group_norm", {"input": 0, "weight": 1, "bias": 2}, num_groups=groups)
    return work


def _local_response(node: Node) -> Work:
    """Count squares, the sums of a window of them, scale and shift, a power, and the division."""
    size = int(node.attributes["size"])
    return per_element("norm", prod(node.out), (size + 1, 3, 0, 1))


def _length(node: Node) -> Work:
    """Count the division by a length."""
    norm: Work = node.work("aten.linalg_vector_norm", {"self": 0}, ord=int(node.attributes.get("p", 2)))
    return replace(norm, kind="norm", multiplications=norm.multiplications + node.elements())


def _batch_norm(node: Node) -> Work:
    training = bool(node.attributes.get("training_mode", 0))
    work: Work = node.work("aten.batch_norm", {"input": 0, "weight": 1, "bias": 2}, training=training)
    return work


def _window(node: Node) -> int:
    return prod(node.attributes["kernel_shape"])


def _max_pool(node: Node) -> Work:
    return Work("pool", comparisons=prod(node.out) * _window(node))


def _average_pool(node: Node) -> Work:
    results = prod(node.out)
    return Work("pool", additions=results * _window(node), multiplications=results)


def _length_pool(node: Node) -> Work:
    results = prod(node.out)
    each = results * _window(node)
    return Work("pool", additions=each, multiplications=each, functions=results)


def _global_average(node: Node) -> Work:
    return Work("pool", additions=node.elements(), multiplications=prod(node.out))


def _region_average(node: Node) -> Work:
    """Count the samples of each result: four neighbours, and the mean of them."""
    ratio = int(node.attributes.get("sampling_ratio", 0))
    if not ratio:  # as many as the region has pixels, which depends on values
        return Work("")
    results = prod(node.out)
    return Work("pool", additions=results * ratio**2 * 5, multiplications=results * (ratio**2 * 4 + 1))


def _reduced(operator: str) -> Handle:
    return like(operator, "self")


def _reduced_norm(order: float) -> Handle:
    return like("aten.linalg_vector_norm", "self", ord=order)


def _squares(node: Node) -> Work:
    return Work("reduce", additions=node.elements(), multiplications=node.elements())


def _log_of_sum(node: Node) -> Work:
    return Work("reduce", additions=node.elements(), functions=prod(node.out))


def _resize(node: Node) -> Work:
    """Count the neighbours of each result, along the sizes that change."""
    near = _NEIGHBOURS[node.attributes.get("mode", "nearest")]
    if not near:
        return Work("move")
    changed = sum(a != b for a, b in zip(node.size(0), node.out, strict=True))
    each = prod(node.out) * near**changed
    return Work("resample", additions=each, multiplications=each)


def _grid_sample(node: Node) -> Work:
    mode = {"nearest": 1, "cubic": 2, "bicubic": 2}.get(node.attributes.get("mode", "linear"), 0)
    work: Work = node.work("aten.grid_sampler", {"input": 0, "grid": 1}, interpolation_mode=mode)
    return work


def _scatter(node: Node) -> Work:
    """Count one operation for each number that is combined with what is there."""
    how = node.attributes.get("reduction", "none")
    updates = node.elements(2)
    return Work(
        "move",
        additions=updates if how == "add" else 0,
        multiplications=updates if how == "mul" else 0,
        comparisons=updates if how in ("max", "min") else 0,
    )


HANDLES: dict[str, Handle] = {
    **{op: like(f"aten.{name}") for op, name in _LIKE_ONE.items()},
    **{op: _each(kind, each) for op, (kind, each) in _EACH.items()},
    **{op: _reduced(operator) for op, operator in _REDUCTIONS.items()},
    **{op: lambda _: Work("move") for op in _MOVES},
    **{op: lambda _: Work("view") for op in _VIEWS},
    **dict.fromkeys(("Max", "Min"), _of_all(comparisons=1)),
    "Sum": _of_all(additions=1),
    "Mean": _of_all(additions=1, mean=1),
    "Pow": _power,
    "Clip": _clip,
    "Gelu": _gelu,
    "com.microsoft.Gelu": _gelu,
    "com.microsoft.FastGelu": like("aten.gelu", approximate="tanh"),
    "com.microsoft.BiasGelu": _each("activation", (2, 3, 0, 1)),
    "Softmax": like("aten._softmax", "self"),
    "com.microsoft.QLinearSoftmax": like("aten._softmax", "self"),
    "LogSoftmax": _log_softmax,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": like("aten.batch_norm", "input", "weight", "bias", use_input_stats=True),
    "MeanVarianceNormalization": like("aten.batch_norm", "input", use_input_stats=True),
    "LayerNormalization": _layer_norm("aten.layer_norm"),
    "GroupNormalization": _group_norm,
    **dict.fromkeys(("RMSNormalization", "SimplifiedLayerNormalization"), _layer_norm("aten.rms_norm")),
    _CONTRIB_NORMS[0]: _layer_norm("aten.layer_norm", skip=True),
    _CONTRIB_NORMS[1]: _layer_norm("aten.rms_norm", skip=True),
    "LRN": _local_response,
    "LpNormalization": _length,
    **dict.fromkeys(("MaxPool", "com.microsoft.NhwcMaxPool"), _max_pool),
    **dict.fromkeys(("AveragePool", "com.microsoft.QLinearAveragePool"), _average_pool),
    "LpPool": _length_pool,
    "GlobalMaxPool": lambda node: Work("pool", comparisons=node.elements()),
    **dict.fromkeys(("GlobalAveragePool", "com.microsoft.QLinearGlobalAveragePool"), _global_average),
    "GlobalLpPool": _squares,
    "RoiAlign": _region_average,
    "ReduceL1": _reduced_norm(1),
    "ReduceL2": _reduced_norm(2),
    "ReduceSumSquare": _squares,
    "ReduceLogSum": _log_of_sum,
    **dict.fromkeys(("com.microsoft.QLinearReduceMean",), _reduced("aten.mean")),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "GridSample": _grid_sample,
    **dict.fromkeys(("ScatterElements", "ScatterND"), _scatter),
}
