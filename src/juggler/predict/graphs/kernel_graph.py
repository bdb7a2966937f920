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

import numpy as np

from juggler.errors import ConfigError
from juggler.predict.kernels.spec import KernelSpec
from juggler.runtime.onnx_graphs.builder import Draft, KernelGraph, packed

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
    draft, last = draft_kernel(spec)
    return packed(draft, {last: out_shape(spec)})


def draft_kernel(spec: KernelSpec) -> tuple[Draft, str]:
    """Write the nodes of a kernel; return them and the tensor that it writes."""
    draft = Draft()
    return draft, _write_activation(draft, spec, WRITERS[spec.family](draft, spec))


def _image(spec: KernelSpec) -> tuple[int, int, int, int]:
    return spec.batch, spec.in_channels, spec.height, spec.width


def _rows(spec: KernelSpec) -> tuple[int, int, int]:
    return spec.batch, spec.height * spec.width, spec.in_channels


def out_shape(spec: KernelSpec) -> tuple[int, ...]:
    """Return the sizes that a kernel's graph writes."""
    positions = spec.height * spec.width
    if spec.family == "dense" and spec.kind == "product":
        return spec.batch, spec.groups, positions, spec.out_channels // spec.groups
    if spec.family == "dense" and spec.kind == "matmul":
        return spec.batch, positions, spec.out_channels
    if spec.family == "dense":
        return spec.batch * positions, spec.out_channels
    if spec.family == "softmax" or (spec.family == "norm" and spec.kind == "layer"):
        return _rows(spec)
    if spec.family == "reorder" and spec.kind == "transpose":
        return spec.batch, spec.height, spec.width, spec.in_channels
    return spec.batch, spec.out_channels, spec.out_height, spec.out_width


def _conv(draft: Draft, spec: KernelSpec) -> str:
    x = draft.take("x", _image(spec), before=spec.cold)
    fan_in = spec.in_channels // spec.groups * prod(spec.kernel)
    weight = draft.weight(
        "weight", (spec.out_channels, spec.in_channels // spec.groups, *spec.kernel), 1.0 / sqrt(fan_in)
    )
    bias = (draft.weight("bias", (spec.out_channels,)),) if spec.bias else ()
    out = draft.node(
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
        y = draft.take("y", out_shape(spec), before=True)
        out = draft.node("Add", (out, y), "kernel_sum")
    return out


def _pool_kernel(draft: Draft, spec: KernelSpec) -> str:
    op = "AveragePool" if spec.kind == "average" else "MaxPool"
    x = draft.take("x", _image(spec))
    options = {"kernel_shape": list(spec.kernel), "strides": list(spec.stride), "pads": list(spec.pads)}
    if spec.dilation != (1, 1):
        options["dilations"] = list(spec.dilation)
    return draft.node(op, (x,), "kernel", **options)


def _dense(draft: Draft, spec: KernelSpec) -> str:
    positions, scale = spec.height * spec.width, 1.0 / sqrt(spec.in_channels)
    if spec.kind == "product":
        inner, outer = spec.in_channels // spec.groups, spec.out_channels // spec.groups
        x = draft.take("x", (spec.batch, spec.groups, positions, inner))
        y = draft.take("y", (spec.batch, spec.groups, inner, outer))
        return draft.node("MatMul", (x, y), "kernel")
    weights = (spec.in_channels, spec.out_channels)
    bias = (draft.weight("bias", weights[1:]),) if spec.bias else ()
    if spec.kind == "matmul":
        x = draft.take("x", _rows(spec), before=spec.cold)
        out = draft.node("MatMul", (x, draft.weight("weight", weights, scale)), "kernel")
        return draft.node("Add", (out, *bias), "kernel_bias") if bias else out
    x = draft.take("x", (spec.batch * positions, spec.in_channels), before=spec.cold)
    weight = draft.weight("weight", weights[::-1], scale)
    return draft.node("Gemm", (x, weight, *bias), "kernel", transB=1)


def _global_pool(draft: Draft, spec: KernelSpec) -> str:
    op = "GlobalMaxPool" if spec.kind == "max" else "GlobalAveragePool"
    return draft.node(op, (draft.take("x", _image(spec)),), "kernel")


def _add(draft: Draft, spec: KernelSpec) -> str:
    x = draft.take("x", _image(spec))
    if spec.kind == "broadcast":
        return draft.node("Add", (x, draft.weight("weight", (spec.in_channels, 1, 1))), "kernel")
    return draft.node("Add", (x, draft.take("y", _image(spec))), "kernel")


def _elementwise(draft: Draft, spec: KernelSpec) -> str:
    x = draft.take("x", _image(spec))
    if spec.kind in BINARY:
        shape = (spec.batch, spec.in_channels, 1, 1) if spec.kind == "scale" else _image(spec)
        return draft.node(BINARY[spec.kind], (x, draft.take("y", shape)), "kernel")
    return _write_function(draft, spec.kind or "relu", x, "kernel")


def _norm(draft: Draft, spec: KernelSpec) -> str:
    vectors = [draft.weight("gain", (spec.in_channels,)), draft.weight("shift", (spec.in_channels,))]
    if spec.kind == "layer":
        return draft.node("LayerNormalization", (draft.take("x", _rows(spec)), *vectors), "kernel", axis=-1)
    vectors += [
        draft.weight("mean", (spec.in_channels,)),
        draft.weight("variance", (spec.in_channels,), 0.1, shift=1.0),
    ]
    return draft.node("BatchNormalization", (draft.take("x", _image(spec)), *vectors), "kernel")


def _concat(draft: Draft, spec: KernelSpec) -> str:
    parts = []
    for index, part in enumerate(np.array_split(np.arange(spec.in_channels), spec.groups)):
        shape = (spec.batch, len(part), spec.height, spec.width)
        parts.append(draft.take(f"x{index}", shape))
    return draft.node("Concat", tuple(parts), "kernel", axis=1)


def _softmax(draft: Draft, spec: KernelSpec) -> str:
    return draft.node("Softmax", (draft.take("x", _rows(spec)),), "kernel", axis=-1)


def _reorder(draft: Draft, spec: KernelSpec) -> str:
    if spec.kind == "transpose":
        return draft.node("Transpose", (draft.take("x", _image(spec)),), "kernel", perm=[0, 2, 3, 1])
    return draft.take("x", _image(spec), before=True)


def _write_activation(draft: Draft, spec: KernelSpec, last: str) -> str:
    if spec.activation == "none":
        return last
    return _write_function(draft, spec.activation, last, "kernel_activation")


def _write_function(draft: Draft, kind: str, x: str, name: str) -> str:
    if kind not in UNARY:
        remedy = f"Choose from {', '.join(sorted({*UNARY, *BINARY}))}"
        raise ConfigError("write a kernel as a graph", f"the function {kind!r}", remedy)
    if kind == "clip":
        return draft.node("Clip", (x, draft.number("low", 0.0), draft.number("high", 6.0)), name)
    if kind == "silu":
        return draft.node("Mul", (x, draft.node("Sigmoid", (x,), f"{name}_gate")), name)
    return draft.node(UNARY[kind], (x,), name)


WRITERS: dict[str, Callable[[Draft, KernelSpec], str]] = {
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
        "elementwise": ("QuickGelu", UNARY.get(spec.kind or "relu", ""), BINARY.get(spec.kind, "")),
        "norm": ("BatchNormalization", "LayerNormalization"),
        "concat": ("Concat",),
        "softmax": ("Softmax",),
    }
    reorders = {"from_blocked": "ReorderOutput", "transpose": "Transpose"}
    yield from names.get(spec.family, (reorders.get(spec.kind, "ReorderInput"),))
