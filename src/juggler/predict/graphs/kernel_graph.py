"""Write one kernel as an ONNX graph, so that a runtime makes just that kernel of it.

Weights and inputs are normal: zeros are skipped by some kernels, and denormals slow all of them down. What
is to be fused is written as the nodes that runtimes fuse. Where a kernel needs its input as another kernel
leaves it, in the runtime's own layout or in a warm cache, a 1x1 max pool stands before it, or a sign where
there are no images: neither is fused with anything. Its name begins with `before`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from math import prod, sqrt
from typing import Any

import numpy as np

from juggler.errors import ConfigError
from juggler.predict.graphs.int8_kernels import FLOAT, INT8_PASSES, int8_conv, int8_dense, int8_pass
from juggler.predict.kernels.spec import KernelSpec
from juggler.runtime.onnx_graphs.builder import GraphBuilder, KernelGraph, kernel_graph_of

DIRECTIONS = ("forward", "bidirectional")
INT32 = 6  # ONNX's number of the type
CACHED_BYTES = 32 << 20  # of weights; larger graphs are written each time
# ONNX operators by kind; `gelu`, `silu` and `hardswish` are what the exporters write.
RELUS = ("Relu", "LeakyRelu", "Elu", "Clip", "Gelu", "Silu", "HardSwish")
CURVES = ("Sigmoid", "HardSigmoid", "Tanh", "Exp", "Sqrt", "Erf", "Neg", "Abs")
UNARY = {op.lower(): op for op in (*RELUS, *CURVES)}
BINARY = {"mul": "Mul", "sub": "Sub", "div": "Div", "scale": "Mul"}


def build(spec: KernelSpec) -> KernelGraph:
    """Write a kernel as a graph of fixed sizes in float32.

    The last ones are kept, for a kernel is opened anew in each round, and writing takes as long as timing.

    Raises:
        ConfigError: a kind or an activation that has no graph here.
    """
    return _cached(spec) if spec.weight_bytes <= CACHED_BYTES else _write_kernel(spec)


@lru_cache(maxsize=24)
def _cached(spec: KernelSpec) -> KernelGraph:
    return _write_kernel(spec)


def _write_kernel(spec: KernelSpec) -> KernelGraph:
    builder, last = write_nodes(spec)
    return kernel_graph_of(builder, {last: out_shape(spec)})


def write_nodes(spec: KernelSpec) -> tuple[GraphBuilder, str]:
    """Write the nodes of a kernel; return them and the tensor that it writes."""
    builder = GraphBuilder()
    return builder, _write_activation(builder, spec, WRITERS[spec.family](builder, spec))


def _image(spec: KernelSpec) -> tuple[int, int, int, int]:
    return spec.batch, spec.in_channels, spec.height, spec.width


def _rows(spec: KernelSpec) -> tuple[int, int, int]:
    return spec.batch, spec.height * spec.width, spec.in_channels


def out_shape(spec: KernelSpec) -> tuple[int, ...]:
    """Return the sizes that a kernel's graph writes."""
    positions, hidden = spec.height * spec.width, spec.out_channels // spec.groups
    rows = (spec.batch * positions, spec.out_channels)
    by_kind = {
        ("concat", "split"): (spec.batch, _parts(spec)[0], spec.height, spec.width),
        ("dense", "product"): (spec.batch, spec.groups, positions, hidden),
        ("dense", "matmul"): (spec.batch, positions, spec.out_channels),
        ("norm", "layer"): _rows(spec),
        ("reorder", "transpose"): (spec.batch, spec.height, spec.width, spec.in_channels),
    }
    by_family = {
        **{"dense": rows, "int8_dense": rows, "softmax": _rows(spec)},
        "recurrent": (spec.height, spec.groups, spec.batch, hidden),
    }
    image = (spec.batch, spec.out_channels, spec.out_height, spec.out_width)
    return by_kind.get((spec.family, spec.kind), by_family.get(spec.family, image))


def _conv(builder: GraphBuilder, spec: KernelSpec) -> str:
    x = builder.add_input("x", _image(spec), before=spec.cold)
    fan_in = spec.in_channels // spec.groups * prod(spec.kernel)
    weight = builder.add_weight(
        "weight", (spec.out_channels, spec.in_channels // spec.groups, *spec.kernel), 1.0 / sqrt(fan_in)
    )
    bias = (builder.add_weight("bias", (spec.out_channels,)),) if spec.bias else ()
    out = builder.add_node(
        "Conv",
        (x, weight, *bias),
        "kernel",
        strides=list(spec.stride),
        dilations=list(spec.dilation),
        pads=list(spec.pads),
        group=spec.groups,
        kernel_shape=list(spec.kernel),
    )
    if spec.adds:
        # In the layout that the runtime's own kernels leave.
        y = builder.add_input("y", out_shape(spec), before=True)
        out = builder.add_node("Add", (out, y), "kernel_sum")
    return out


def _pool_kernel(builder: GraphBuilder, spec: KernelSpec) -> str:
    op = "AveragePool" if spec.kind in ("average", "padded_average") else "MaxPool"
    x = builder.add_input("x", _image(spec))
    options: dict[str, Any] = {
        "kernel_shape": list(spec.kernel),
        "strides": list(spec.stride),
        "pads": list(spec.pads),
    }
    if spec.kind == "padded_average":
        options |= {"count_include_pad": 1, "ceil_mode": 1}
    if spec.dilation != (1, 1):
        options["dilations"] = list(spec.dilation)
    return builder.add_node(op, (x,), "kernel", **options)


def _dense(builder: GraphBuilder, spec: KernelSpec) -> str:
    positions, scale = spec.height * spec.width, 1.0 / sqrt(spec.in_channels)
    if spec.kind == "product":
        inner, outer = spec.in_channels // spec.groups, spec.out_channels // spec.groups
        x = builder.add_input("x", (spec.batch, spec.groups, positions, inner))
        y = builder.add_input("y", (spec.batch, spec.groups, inner, outer))
        return builder.add_node("MatMul", (x, y), "kernel")
    weights = (spec.in_channels, spec.out_channels)
    bias = (builder.add_weight("bias", weights[1:]),) if spec.bias else ()
    if spec.kind == "matmul":
        x = builder.add_input("x", _rows(spec), before=spec.cold)
        out = builder.add_node("MatMul", (x, builder.add_weight("weight", weights, scale)), "kernel")
        return builder.add_node("Add", (out, *bias), "kernel_bias") if bias else out
    x = builder.add_input("x", (spec.batch * positions, spec.in_channels), before=spec.cold)
    weight = builder.add_weight("weight", weights[::-1], scale)
    return builder.add_node("Gemm", (x, weight, *bias), "kernel", transB=1)


def _global_pool(builder: GraphBuilder, spec: KernelSpec) -> str:
    op = "GlobalMaxPool" if spec.kind == "max" else "GlobalAveragePool"
    return builder.add_node(op, (builder.add_input("x", _image(spec)),), "kernel")


def _add(builder: GraphBuilder, spec: KernelSpec) -> str:
    x = _map(builder, spec, "x")
    if spec.kind == "broadcast":
        return builder.add_node("Add", (x, builder.add_weight("weight", (spec.in_channels, 1, 1))), "kernel")
    return builder.add_node("Add", (x, _map(builder, spec, "y")), "kernel")


def _elementwise(builder: GraphBuilder, spec: KernelSpec) -> str:
    if spec.kind == "cast":
        x = builder.add_node("Cast", (builder.add_input("x", _image(spec)),), "before_x", to=INT32)
        return builder.add_node("Cast", (x,), "kernel", to=FLOAT)
    x = _map(builder, spec, "x")
    if spec.kind == "scale":
        y = builder.add_input("y", (spec.batch, spec.in_channels, 1, 1), before=spec.layout == "blocked")
        return builder.add_node("Mul", (x, y), "kernel")
    if spec.kind in BINARY:
        return builder.add_node(BINARY[spec.kind], (x, _map(builder, spec, "y")), "kernel")
    return _write_function(builder, spec.kind or "relu", x, "kernel")


def _norm(builder: GraphBuilder, spec: KernelSpec) -> str:
    vectors = [
        builder.add_weight("gain", (spec.in_channels,)),
        builder.add_weight("shift", (spec.in_channels,)),
    ]
    if spec.kind == "layer":
        return builder.add_node(
            "LayerNormalization", (builder.add_input("x", _rows(spec)), *vectors), "kernel", axis=-1
        )
    vectors += [
        builder.add_weight("mean", (spec.in_channels,)),
        builder.add_weight("variance", (spec.in_channels,), 0.1, shift=1.0),
    ]
    return builder.add_node("BatchNormalization", (builder.add_input("x", _image(spec)), *vectors), "kernel")


def _concat(builder: GraphBuilder, spec: KernelSpec) -> str:
    if spec.kind == "split":
        builder.add_integers("sizes", _parts(spec))
        inputs = (_map(builder, spec, "x"), "sizes")
        return builder.add_parts("Split", inputs, "kernel", spec.groups, axis=1)
    if spec.kind == "slice":
        x = builder.add_input("x", (spec.batch, 2 * spec.in_channels, spec.height, spec.width))
        for name, value in (("from", 0), ("to", spec.in_channels), ("axis", 1)):
            builder.add_integers(name, [value])
        return builder.add_node("Slice", (x, "from", "to", "axis"), "kernel")
    parts = [_map(builder, spec, f"x{index}", channels) for index, channels in enumerate(_parts(spec))]
    return builder.add_node("Concat", tuple(parts), "kernel", axis=1)


def _map(builder: GraphBuilder, spec: KernelSpec, name: str, channels: int | None = None) -> str:
    """Add a map as an input; in the blocked layout as another kernel leaves it."""
    shape = (spec.batch, channels or spec.in_channels, spec.height, spec.width)
    return builder.add_input(name, shape, before=spec.layout == "blocked")


def _parts(spec: KernelSpec) -> list[int]:
    """Return the channels of what is joined or split."""
    return [len(part) for part in np.array_split(np.arange(spec.in_channels), spec.groups)]


def _recurrent(builder: GraphBuilder, spec: KernelSpec) -> str:
    op, hidden = (spec.kind or "lstm").upper(), spec.out_channels // spec.groups
    rows = {"LSTM": 4, "GRU": 3, "RNN": 1}[op] * hidden
    x = builder.add_input("x", (spec.height, spec.batch, spec.in_channels), before=spec.cold)
    weights = [
        builder.add_weight("weight", (spec.groups, rows, spec.in_channels), 1.0 / sqrt(spec.in_channels)),
        builder.add_weight("hidden", (spec.groups, rows, hidden), 1.0 / sqrt(hidden)),
    ]
    if spec.bias:
        weights.append(builder.add_weight("bias", (spec.groups, 2 * rows), 0.1))
    options: dict[str, Any] = {
        "hidden_size": hidden,
        "direction": ("forward", "bidirectional")[spec.groups - 1],
    }
    if op == "GRU":
        options["linear_before_reset"] = 1  # as torch has it
    return builder.add_node(op, (x, *weights), "kernel", **options)


def _softmax(builder: GraphBuilder, spec: KernelSpec) -> str:
    return builder.add_node("Softmax", (builder.add_input("x", _rows(spec)),), "kernel", axis=-1)


def _reorder(builder: GraphBuilder, spec: KernelSpec) -> str:
    if spec.kind == "transpose":
        return builder.add_node(
            "Transpose", (builder.add_input("x", _image(spec)),), "kernel", perm=[0, 2, 3, 1]
        )
    return builder.add_input("x", _image(spec), before=True)


def _write_activation(builder: GraphBuilder, spec: KernelSpec, last: str) -> str:
    if spec.activation == "none":
        return last
    return _write_function(builder, spec.activation, last, "kernel_activation")


def _write_function(builder: GraphBuilder, kind: str, x: str, name: str) -> str:
    if kind not in UNARY:
        remedy = f"Choose from {', '.join(sorted({*UNARY, *BINARY}))}"
        raise ConfigError("write a kernel as a graph", f"the function {kind!r}", remedy)
    if kind == "clip":
        return builder.add_node(
            "Clip", (x, builder.add_scalar("low", 0.0), builder.add_scalar("high", 6.0)), name
        )
    if kind == "silu":
        return builder.add_node("Mul", (x, builder.add_node("Sigmoid", (x,), f"{name}_gate")), name)
    return builder.add_node(UNARY[kind], (x,), name)


WRITERS: dict[str, Callable[[GraphBuilder, KernelSpec], str]] = {
    "conv": _conv,
    "depthwise": _conv,
    "pool": _pool_kernel,
    "dense": _dense,
    "global_pool": _global_pool,
    "add": _add,
    "elementwise": _elementwise,
    "norm": _norm,
    "concat": _concat,
    "softmax": _softmax,
    "reorder": _reorder,
    "recurrent": _recurrent,
    "int8_conv": int8_conv,
    "int8_dense": int8_dense,
    "int8_pass": int8_pass,
}


def operators(spec: KernelSpec) -> Iterator[str]:
    """Yield the ONNX operators that the kernel itself may appear as in a runtime's profile."""
    names = {
        "conv": ("Conv", "FusedConv"),
        "depthwise": ("Conv", "FusedConv"),
        "pool": ("MaxPool", "AveragePool"),
        "dense": ("Gemm", "FusedGemm", "MatMul", "FusedMatMul"),
        "global_pool": ("GlobalAveragePool", "GlobalMaxPool"),
        "add": ("Add",),
        "elementwise": ("QuickGelu", UNARY.get(spec.kind or "relu", ""), BINARY.get(spec.kind, ""), "Cast"),
        "norm": ("BatchNormalization", "LayerNormalization"),
        "concat": ({"split": "Split", "slice": "Slice"}.get(spec.kind, "Concat"),),
        "softmax": ("Softmax",),
        "recurrent": ("LSTM", "GRU", "RNN"),
        "int8_conv": ("QLinearConv", "ConvInteger"),
        "int8_dense": ("QGemm", "QLinearMatMul", "DynamicQuantizeMatMul"),
        "int8_pass": INT8_PASSES.get(spec.kind, ("QuantizeLinear",)),
    }
    reorders = {"from_blocked": "ReorderOutput", "transpose": "Transpose"}
    yield from names.get(spec.family, (reorders.get(spec.kind, "ReorderInput"),))
