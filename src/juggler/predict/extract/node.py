"""A node of an optimised graph with the sizes around it, and the kernel that it is.

The formulas here are of ONNX's own operators and of what ONNX Runtime adds to them; no runtime is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from juggler.predict.kernels.spec import KernelSpec

Shape = tuple[int, ...]
# Ops of one input whose kernel is a pass over the elements.
UNARY = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Clip", "Elu", "Selu"}
    | {"Softplus", "Softsign", "Gelu", "FastGelu", "BiasGelu", "QuickGelu", "Erf", "Exp", "Log", "Sqrt"}
    | {"Abs", "Neg", "Reciprocal", "Mish", "Celu", "ThresholdedRelu", "Floor", "Ceil", "Round", "Sign"}
)
BINARY = {"Mul": "mul", "Sub": "sub", "Div": "div", "Pow": "pow", "Max": "max", "Min": "min"}
KINDS = {"QuickGelu": "silu", "FastGelu": "gelu", "BiasGelu": "gelu"}  # as campaigns spell them
INT8_PASSES = {
    **{"QuantizeLinear": "quantize", "DequantizeLinear": "dequantize", "DynamicQuantizeLinear": "dynamic"},
    "QLinearAdd": "add",
}
FREE = frozenset(
    {"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Constant", "Shape", "Size"}
)
PARTIAL = ("Slice", "Split", "Gather")  # copy a part of what they are given
# Copy what they write from what they are given, whatever part of it that is.
COPIES = (*PARTIAL, "GatherND", "Pad", "Expand", "Tile", "ConstantOfShape", "DepthToSpace", "SpaceToDepth")


@dataclass(frozen=True)
class SizedNode:
    """One node.

    Attributes:
        op: operator.
        name: of the node.
        inputs: shape of each input, None where there is none or it is not known.
        outputs: shape of each output.
        constant: whether each input is a weight or another constant.
        blocked: whether the first input is in the runtime's own order of channels.
        attributes: by name, texts decoded.
    """

    op: str
    name: str
    inputs: tuple[Shape | None, ...]
    outputs: tuple[Shape | None, ...]
    constant: tuple[bool, ...]
    blocked: bool
    attributes: Mapping[str, Any]

    @property
    def x(self) -> Shape:
        """Return the first input's shape."""
        return self.shape_of(0)

    @property
    def y(self) -> Shape:
        """Return the first output's shape."""
        if not self.outputs or self.outputs[0] is None:
            raise ValueError("the size of its output is not known")
        return self.outputs[0]

    def shape_of(self, index: int) -> Shape:
        """Return an input's shape.

        Raises:
            ValueError: it is not known.
        """
        if index >= len(self.inputs) or self.inputs[index] is None:
            raise ValueError("the size of its input is not known")
        shape = self.inputs[index]
        assert shape is not None  # noqa: S101  # for the type checker
        return shape

    def has(self, index: int) -> bool:
        """Say whether there is such an input."""
        return index < len(self.inputs) and (self.inputs[index] is not None or self.constant[index])

    def channels_first(self) -> SizedNode:
        """Return the node as if its maps were `[batch, channels, ...]`; its weights are so already."""

        def moved(shape: Shape | None) -> Shape | None:
            return shape and (shape[0], shape[-1], *shape[1:-1])

        inputs = (moved(self.inputs[0]), *self.inputs[1:])
        return replace(self, inputs=inputs, outputs=tuple(map(moved, self.outputs)), blocked=True)

    def as_image(self) -> SizedNode:
        """Return a node of one-dimensional maps as one of images of one row."""
        if len(self.x) != 3:
            return self
        sides = {
            name: (1 if name != "pads" else 0, *values) if len(values) == 1 else (0, values[0], 0, values[1])
            for name, values in self.attributes.items()
            if name in ("kernel_shape", "strides", "dilations", "pads")
        }
        tall = {
            index: shape and (*shape[:-1], 1, shape[-1])
            for index, shape in enumerate(self.inputs)
            if index == 0 or (shape is not None and len(shape) == 3)
        }
        inputs = tuple(tall.get(index, shape) for index, shape in enumerate(self.inputs))
        outputs = tuple(shape and (*shape[:-1], 1, shape[-1]) for shape in self.outputs)
        return replace(self, inputs=inputs, outputs=outputs, attributes={**self.attributes, **sides})

    @property
    def bytes(self) -> int:
        """Return what is read and written, as float32, as far as it is known.

        What takes a part of its input reads no more than it writes.
        """
        written = sum(math.prod(shape) for shape in self.outputs if shape is not None)
        read = sum(math.prod(shape) for shape in self.inputs if shape is not None)
        return 4 * (written + (min(read, written) if self.op in PARTIAL else read))


def kernel_of(node: SizedNode) -> KernelSpec | None:
    """Return the kernel that a node is; None where it is none of the families.

    Raises:
        ValueError: it is of a family, and a size is not known.
        ConfigError: its numbers make no kernel.
    """
    if node.attributes.get("channels_last"):
        node = node.channels_first()
    if node.op in UNARY:
        return _elementwise(node, KINDS.get(node.op, node.op.lower()))
    maker = MAKERS.get(node.op)
    return maker(node) if maker else None


def _convolution(node: SizedNode) -> KernelSpec | None:
    node = node.as_image()
    if len(node.x) != 4:
        return None
    batch, channels, height, width = node.x
    taps = node.shape_of(1)[2:]
    groups = int(node.attributes.get("group", 1))
    # A blocked depthwise convolution counts the channels that fill up the last block among its groups.
    depthwise = groups >= channels > 1 and node.y[1] == channels
    return KernelSpec(
        "depthwise" if depthwise else "conv",
        batch,
        channels,
        node.y[1],
        height,
        width,
        groups=channels if depthwise else groups,
        bias=node.has(2),
        activation=activation_of(node),
        adds=node.has(3),
        layout=_layout(node),
        **_window(node, (taps[0], taps[1])),
    )


def _int8_convolution(node: SizedNode) -> KernelSpec | None:
    node = node.as_image()
    if len(node.x) != 4:
        return None
    weight = 3 if node.op == "QLinearConv" else 1
    batch, channels, height, width = node.x
    taps = node.shape_of(weight)[2:]
    return KernelSpec(
        "int8_conv",
        batch,
        channels,
        node.y[1],
        height,
        width,
        groups=int(node.attributes.get("group", 1)),
        bias=node.op == "QLinearConv" and node.has(8),
        kind="linear" if node.op == "QLinearConv" else "integer",
        layout=_layout(node),
        **_window(node, (taps[0], taps[1])),
    )


def _int8_dense(node: SizedNode) -> KernelSpec | None:
    inner, outer = node.x[-1], node.y[-1]
    kind = {"QGemm": "gemm", "DynamicQuantizeMatMul": "dynamic"}.get(node.op, "matmul")
    bias = {"QGemm": 6, "DynamicQuantizeMatMul": 4}.get(node.op)
    rows = math.prod(node.y[1:-1]) if len(node.y) > 2 else 1
    has_bias = bias is not None and node.has(bias)
    return KernelSpec("int8_dense", node.y[0], inner, outer, rows, kind=kind, bias=has_bias)


def _int8_pass(node: SizedNode) -> KernelSpec | None:
    return _on_elements(replace(node, blocked=False), "int8_pass", INT8_PASSES[node.op])


def _recurrent(node: SizedNode) -> KernelSpec | None:
    """A recurrent layer of `[steps, batch, features]`; its second weight is `[directions, ., hidden]`."""
    steps, batch, features = node.x
    directions, _, hidden = node.shape_of(2)
    channels = directions * hidden
    return KernelSpec(
        "recurrent",
        batch,
        features,
        channels,
        steps,
        groups=directions,
        kind=node.op.lower(),
        bias=node.has(3),
    )


def _split(node: SizedNode) -> KernelSpec | None:
    axis = int(node.attributes.get("axis", 0)) % len(node.x)
    return _along(node, node.x, axis, len(node.outputs), "split")


def _copy(node: SizedNode) -> KernelSpec | None:
    return _on_elements(node, "concat", "slice")


def _pool(node: SizedNode) -> KernelSpec | None:
    node = node.as_image()
    if len(node.x) != 4:
        return None
    kind = "max" if node.op == "MaxPool" else "average"
    if kind == "average" and node.attributes.get("count_include_pad") and node.attributes.get("ceil_mode"):
        kind = "padded_average"  # a mean that counts what lies beyond the map has a slow way of its own
    taps = tuple(node.attributes["kernel_shape"])
    window = _window(node, (taps[0], taps[1]))
    return KernelSpec(
        "pool", node.x[0], node.x[1], node.x[1], *node.x[2:], kind=kind, layout=_layout(node), **window
    )


def _window(node: SizedNode, kernel: tuple[int, int]) -> dict[str, Any]:
    """Return kernel, stride, dilation and the pads that lead to the output's size, rounded up or down."""
    stride = tuple(node.attributes.get("strides", (1, 1)))
    dilation = tuple(node.attributes.get("dilations", (1, 1)))
    before = tuple(node.attributes.get("pads", (0, 0, 0, 0)))[:2]
    same = str(node.attributes.get("auto_pad", "NOTSET")).startswith("SAME")
    pads = []
    for side in (0, 1):
        span = dilation[side] * (kernel[side] - 1) + 1
        needed = max((node.y[2 + side] - 1) * stride[side] + span - node.x[2 + side], 0)
        first = needed // 2 if same else before[side]
        declared = tuple(node.attributes.get("pads", (0, 0, 0, 0)))[2 + side]
        pads.append((first, max(needed - first, 0 if same else min(declared, max(needed - first, declared)))))
    (top, bottom), (left, right) = pads
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "pads": (top, left, bottom, right)}


def _dense(node: SizedNode) -> KernelSpec | None:
    a, b = node.x, node.shape_of(1)
    if node.op in ("Gemm", "FusedGemm"):
        inner = a[0] if node.attributes.get("transA") else a[1]
        bias = node.has(2)
        return KernelSpec(
            "dense",
            math.prod(a) // inner,
            inner,
            node.y[-1],
            bias=bias,
            activation=activation_of(node),
            kind="gemm",
        )
    if node.constant[1]:
        rows = math.prod(node.y[1:-1]) if len(node.y) > 2 else 1
        return KernelSpec("dense", node.y[0], a[-1], node.y[-1], rows, kind="matmul")
    if len(a) < 3 or len(b) != len(a):
        return None
    heads = math.prod(node.y[1:-2]) if len(node.y) > 3 else 1
    inner = math.prod(a) // math.prod(node.y[:-1])
    return KernelSpec(
        "dense", node.y[0], heads * inner, heads * node.y[-1], node.y[-2], groups=heads, kind="product"
    )


def _global_pool(node: SizedNode) -> KernelSpec | None:
    node = node.as_image()
    if len(node.x) != 4:
        return None
    kind = "max" if "Max" in node.op else "average"
    return KernelSpec(
        "global_pool", node.x[0], node.x[1], node.x[1], *node.x[2:], kind=kind, layout=_layout(node)
    )


def _reduce_mean(node: SizedNode) -> KernelSpec | None:
    """A mean over all places of an image is a global pool; others are not covered."""
    batch = math.prod(node.y[:2]) if len(node.y) >= 2 else 0
    return (
        _global_pool(node)
        if len(node.x) == 4 and math.prod(node.y) == batch == node.x[0] * node.x[1]
        else None
    )


def _add(node: SizedNode) -> KernelSpec | None:
    return _on_elements(node, "add", "" if _equal_inputs(node) else "broadcast")


def _binary(node: SizedNode) -> KernelSpec | None:
    # A factor that is smaller than the map is read from the cache, whatever is done with it.
    return _elementwise(node, BINARY[node.op] if _equal_inputs(node) else "scale")


def _norm(node: SizedNode) -> KernelSpec | None:
    return _on_elements(node, "norm", "batch" if node.op == "BatchNormalization" else "layer")


def _softmax(node: SizedNode) -> KernelSpec | None:
    axis = int(node.attributes.get("axis", -1)) % len(node.x)
    outer, inner = math.prod(node.x[:axis]), math.prod(node.x[axis + 1 :])
    return KernelSpec("softmax", outer, node.x[axis], node.x[axis], inner)


def _concat(node: SizedNode) -> KernelSpec | None:
    axis = int(node.attributes.get("axis", 1)) % len(node.y)
    return _along(node, node.y, axis, len(node.inputs), "")


def _along(node: SizedNode, shape: Shape, axis: int, parts: int, kind: str) -> KernelSpec:
    """Return what joins or splits a tensor along an axis."""
    channels, layout = shape[axis], _layout(node)
    if len(shape) == 4 and axis == 1:
        return KernelSpec(
            "concat", shape[0], channels, channels, *shape[2:], groups=parts, kind=kind, layout=layout
        )
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    return KernelSpec("concat", outer, channels, channels, inner, groups=min(parts, channels), kind=kind)


def _reorder(node: SizedNode) -> KernelSpec | None:
    kind = {"ReorderInput": "to_blocked", "ReorderOutput": "from_blocked"}.get(node.op, "transpose")
    return _on_elements(replace(node, blocked=False), "reorder", kind)  # its kind says what it reads


def _elementwise(node: SizedNode, kind: str) -> KernelSpec:
    return _on_elements(node, "elementwise", kind)


def _on_elements(node: SizedNode, family: str, kind: str) -> KernelSpec:
    """Return a kernel that goes over all elements of its output, an image or a sequence of rows."""
    shape = node.y
    if len(shape) == 4:
        batch, channels, height, width = shape
    else:
        batch, channels = (shape[0], shape[-1]) if len(shape) > 1 else (1, math.prod(shape))
        height, width = math.prod(shape[1:-1]), 1
    activation = activation_of(node)
    return KernelSpec(
        family,
        batch,
        channels,
        channels,
        height,
        width,
        kind=kind,
        layout=_layout(node),
        activation=activation,
    )


def activation_of(node: SizedNode) -> str:
    """Return the function that is fused into a node, as specs spell it."""
    return str(node.attributes.get("activation", "") or "none").lower()


def _layout(node: SizedNode) -> str:
    return "blocked" if node.blocked else "nchw"


def _equal_inputs(node: SizedNode) -> bool:
    return all(shape == node.y for shape in node.inputs)


MAKERS: Mapping[str, Callable[[SizedNode], KernelSpec | None]] = {
    **dict.fromkeys(("Conv", "FusedConv"), _convolution),
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    **dict.fromkeys(("Gemm", "FusedGemm", "MatMul", "FusedMatMul"), _dense),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    "ReduceMean": _reduce_mean,
    **dict.fromkeys(("Add", "Sum"), _add),
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(("BatchNormalization", "LayerNormalization", "SkipLayerNormalization"), _norm),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(COPIES, _copy),
    "Concat": _concat,
    "Split": _split,
    **dict.fromkeys(("Cast", "Not"), lambda node: _elementwise(node, "cast")),
    **dict.fromkeys(("QLinearConv", "ConvInteger"), _int8_convolution),
    **dict.fromkeys(("QGemm", "QLinearMatMul", "MatMulInteger", "DynamicQuantizeMatMul"), _int8_dense),
    **dict.fromkeys(INT8_PASSES, _int8_pass),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    **dict.fromkeys(("ReorderInput", "ReorderOutput", "Transpose"), _reorder),
}
