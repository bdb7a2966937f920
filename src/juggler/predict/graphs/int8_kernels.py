"""Write kernels of int8 as ONNX Runtime runs them: quantised before them, and made float32 again after them.

What comes before has a name that begins with `before`, and what comes after one that begins with `after`.
"""

from __future__ import annotations

import numpy as np

from juggler.predict.kernels.spec import KernelSpec
from juggler.runtime.onnx_graphs.builder import GraphBuilder, normal

FLOAT, CONTRIB = 1, "com.microsoft"  # ONNX's number of the type; the operators that ONNX Runtime adds
INT8_PASSES = {
    "dequantize": ("DequantizeLinear",), "dynamic": ("DynamicQuantizeLinear",), "add": ("QLinearAdd",)
}  # fmt: skip


def int8_conv(builder: GraphBuilder, spec: KernelSpec) -> str:
    """Write a convolution; return the tensor that it writes, in float32."""
    image = (spec.batch, spec.in_channels, spec.height, spec.width)
    x, scale, zero = _quantised(builder, "x", image)
    shape = (spec.out_channels, spec.in_channels // spec.groups, *spec.kernel)
    weight, weight_scale, weight_zero = _weight(builder, shape)
    options = {
        "strides": list(spec.stride), "dilations": list(spec.dilation), "pads": list(spec.pads),
        "group": spec.groups, "kernel_shape": list(spec.kernel),
    }  # fmt: skip
    if spec.kind == "integer":
        sums = builder.add_node("ConvInteger", (x, weight, zero, weight_zero), "kernel", **options)
        return builder.add_node("Cast", (sums,), "after", to=FLOAT)
    ends = (x, scale, zero, weight, weight_scale, weight_zero, scale, zero)
    return _dequantised(
        builder, builder.add_node("QLinearConv", (*ends, *_bias(builder, spec)), "kernel", **options)
    )


def int8_dense(builder: GraphBuilder, spec: KernelSpec) -> str:
    """Write a matrix product; return the tensor that it writes, in float32."""
    rows = (spec.batch * spec.height * spec.width, spec.in_channels)
    weight, weight_scale, weight_zero = _weight(builder, (spec.in_channels, spec.out_channels))
    ends: tuple[str, ...]
    if spec.kind == "dynamic":
        x = builder.add_input("x", rows)
        ends = (x, weight, weight_scale, weight_zero)
        return builder.add_node("DynamicQuantizeMatMul", ends, "kernel", domain=CONTRIB)
    x, scale, zero = _quantised(builder, "x", rows)
    if spec.kind == "matmul":
        ends = (x, scale, zero, weight, weight_scale, weight_zero, scale, zero)
        return _dequantised(builder, builder.add_node("QLinearMatMul", ends, "kernel"))
    bias = _bias(builder, spec) or ("",)
    ends = (x, scale, zero, weight, weight_scale, weight_zero, *bias, scale, zero)
    return _dequantised(builder, builder.add_node("QGemm", ends, "kernel", domain=CONTRIB))


def int8_pass(builder: GraphBuilder, spec: KernelSpec) -> str:
    """Write what goes over its input once; return the tensor that it writes, in float32."""
    image = (spec.batch, spec.in_channels, spec.height, spec.width)
    if spec.kind == "dynamic":
        x = builder.add_input("x", image)
        first = builder.add_parts("DynamicQuantizeLinear", (x,), "kernel", 3)
        return builder.add_node("DequantizeLinear", (first, "kernel_1", "kernel_2"), "after")
    if spec.kind in ("", "quantize"):
        scale, zero = _range(builder)
        x = builder.add_input("x", image)
        return _dequantised(builder, builder.add_node("QuantizeLinear", (x, scale, zero), "kernel"))
    x, scale, zero = _quantised(builder, "x", image)
    if spec.kind == "dequantize":
        return builder.add_node("DequantizeLinear", (x, scale, zero), "kernel")
    y, *_ = _quantised(builder, "y", image)
    ends = (x, scale, zero, y, scale, zero, scale, zero)
    return _dequantised(builder, builder.add_node("QLinearAdd", ends, "kernel", domain=CONTRIB))


def _range(builder: GraphBuilder) -> tuple[str, str]:
    """Add the scale and the zero point of activations, once; return their tensors."""
    if "scale" not in {tensor.name for tensor in builder.weights}:
        builder.add_array("scale", np.array(0.05, np.float32))
        builder.add_array("zero", np.array(128, np.uint8))
    return "scale", "zero"


def _quantised(builder: GraphBuilder, name: str, shape: tuple[int, ...]) -> tuple[str, str, str]:
    """Add an input that is quantised before the kernel; return it, its scale and its zero point."""
    scale, zero = _range(builder)
    x = builder.add_input(name, shape)
    return builder.add_node("QuantizeLinear", (x, scale, zero), f"before_{name}"), scale, zero


def _dequantised(builder: GraphBuilder, last: str) -> str:
    return builder.add_node("DequantizeLinear", (last, *_range(builder)), "after")


def _weight(builder: GraphBuilder, shape: tuple[int, ...]) -> tuple[str, str, str]:
    """Add weights of int8; return them, their scale and their zero point."""
    values = np.clip(np.rint(32.0 * normal(shape)), -127, 127).astype(np.int8)
    builder.add_array("weight", values)
    builder.add_array("weight_scale", np.array(0.002, np.float32))
    builder.add_array("weight_zero", np.array(0, np.int8))
    return "weight", "weight_scale", "weight_zero"


def _bias(builder: GraphBuilder, spec: KernelSpec) -> tuple[str, ...]:
    if not spec.bias:
        return ()
    return (builder.add_array("bias", np.ones(spec.out_channels, np.int32)),)
