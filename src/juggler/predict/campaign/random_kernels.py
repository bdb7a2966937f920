"""Draw one kernel of a family: from ranges, or from the shapes of layers of real networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from juggler.errors import ConfigError
from juggler.predict.kernels.sizes import CONVOLUTIONS, DENSE, INT8
from juggler.predict.kernels.spec import ACTIVATIONS, KernelSpec
from juggler.reading.documents import parse_object
from juggler.reading.request import Request

MOST_BATCH, MOST_SIDE, MOST_CHANNELS, MOST_FEATURES = 64, 512, 9999, 4096  # of Table 3
MOST_HIDDEN, MOST_STEPS = 1024, 512  # of recurrent layers
MOST_ROWS = 1024  # tokens or positions of what is no image
UNIFORM_DRAWS, UNIFORM_MACS = 20_000, 2e10
KINDS = {
    "elementwise": (
        *("relu", "sigmoid", "tanh", "clip", "hardsigmoid", "leakyrelu", "silu", "gelu", "exp", "erf"),
        *("mul", "mul", "scale", "scale", "scale", "sub", "div", "cast"),
    ),
    "add": ("", "", "", "broadcast"),
    "global_pool": ("average", "average", "max"),
    "norm": ("batch", "layer"),
    "concat": ("", "", "", "split", "slice"),
    "recurrent": ("lstm", "lstm", "gru"),
    "int8_conv": (*("linear",) * 5, "integer"),
    "int8_dense": ("gemm", "gemm", "matmul", "dynamic"),
    "int8_pass": ("quantize", "dequantize", "dynamic", "add"),
    "reorder": ("to_blocked", "to_blocked", "from_blocked", "from_blocked", "transpose"),
}
BLOCK, BLOCKED_SHARE = 16, 0.5  # channels of a block, and of passes that runtimes make over blocks
PASSES = ("add", "elementwise", "concat")
DEPTHWISE_SHARE = 0.2  # of convolutions of int8
COLD_SHARE, COLD_BYTES = 0.5, 1 << 16  # of kernels whose weights have so many bytes

Shape = tuple[Any, ...]


def ranged(family: str, draw: np.random.Generator, *, uniform: bool) -> KernelSpec | None:
    """Draw from Table 3: each size uniform, or log-uniform."""

    def size(most: int, least: int = 1) -> int:
        if uniform:
            return int(draw.integers(least, most + 1))
        return int(np.exp(draw.uniform(np.log(least), np.log(most + 1))))

    batch = size(MOST_BATCH)
    if family in ("dense", "int8_dense", "recurrent") or (
        family in ("softmax", "norm") and draw.random() < 0.5
    ):
        return _ranged_rows(family, batch, size, draw, uniform=uniform)
    if family == "conv" and uniform:
        return _uniform_conv(draw)
    height = size(MOST_SIDE)
    width = height if draw.random() < 0.75 else size(MOST_SIDE)
    channels, out_channels = (_rounded(size(MOST_CHANNELS), draw, uniform=uniform) for _ in range(2))
    if family not in (*CONVOLUTIONS, "pool"):
        return KernelSpec(family, batch, channels, channels, height, width)
    kernel = _kernel(draw, uniform=uniform)
    is_conv = family == "depthwise" and channels == 1  # as it is read in networks
    if is_conv or (not uniform and _is_odd(family, kernel, height, width, draw)):
        return None
    stride = _stride(draw, uniform=uniform)
    same = draw.random() < 0.5
    pads = tuple(k // 2 for k in kernel) + tuple((k - 1) // 2 for k in kernel) if same else (0,) * 4
    is_depthwise = family == "depthwise" or (family == "int8_conv" and draw.random() < DEPTHWISE_SHARE)
    groups = channels if is_depthwise else 1
    out = channels if is_depthwise or family == "pool" else out_channels
    return _kernel_or_none(
        family, batch, channels, out, height, width, kernel, stride, pads=pads, groups=groups
    )


def _ranged_rows(
    family: str, batch: int, size: Callable[[int], int], draw: np.random.Generator, *, uniform: bool
) -> KernelSpec:
    """Draw what takes rows of features and no images."""
    if family == "recurrent":
        directions, hidden = int(draw.choice([1, 1, 2])), size(MOST_HIDDEN)
        steps, inside = size(MOST_STEPS), size(MOST_HIDDEN)
        return KernelSpec(family, batch, inside, directions * hidden, steps, groups=directions)
    if family == "int8_dense":
        return KernelSpec(family, batch, size(MOST_FEATURES), size(MOST_FEATURES), size(MOST_ROWS))
    if family != "dense":
        channels, kind = size(MOST_FEATURES), "layer" if family == "norm" else ""
        return KernelSpec(family, batch, channels, channels, size(MOST_ROWS), kind=kind)
    kind = "gemm" if uniform else str(draw.choice(["gemm", "gemm", "matmul", "product"]))
    features = [size(MOST_FEATURES), size(MOST_FEATURES)]
    heads = int(2 ** draw.integers(0, 5)) if kind == "product" else 1
    inside, outside = (max(heads, value - value % heads) for value in features)
    rows = 1 if kind == "gemm" else size(MOST_ROWS)
    return KernelSpec("dense", batch, inside, outside, rows, kind=kind, groups=heads)


def _uniform_conv(draw: np.random.Generator) -> KernelSpec | None:
    """Draw a convolution of Table 3 that computes for no more than a second or so.

    Most of the table would take hours: thousands are drawn at once, and the first that is short is taken.
    """
    most = (MOST_BATCH, MOST_CHANNELS, MOST_CHANNELS, MOST_SIDE, 7, 4)
    batch, channels, out, side, kernel, stride = draw.integers(1, np.add(most, 1), (UNIFORM_DRAWS, 6)).T
    macs = batch * channels * out * (side / stride) ** 2 * kernel**2
    short = np.flatnonzero((macs < UNIFORM_MACS) & (kernel <= side))
    if short.size == 0:
        return None
    batch, channels, out, side, kernel, stride = (
        int(column[short[0]]) for column in (batch, channels, out, side, kernel, stride)
    )
    pads = (
        (kernel // 2, kernel // 2, (kernel - 1) // 2, (kernel - 1) // 2) if draw.random() < 0.5 else (0,) * 4
    )
    window = ((kernel, kernel), (stride, stride))
    return _kernel_or_none("conv", batch, channels, out, side, side, *window, pads=pads)


def followed(family: str, draw: np.random.Generator) -> KernelSpec | None:
    """Draw a layer of a real network; half of them with other sizes."""
    if family == "recurrent":  # no layer of a network of images
        return ranged(family, draw, uniform=False)
    known = {"int8_conv": "depthwise" if draw.random() < DEPTHWISE_SHARE else "conv", "int8_dense": "dense"}
    rows = _shapes().get(known.get(family, family)) or _shapes()["conv"]
    _, channels, out, height, width, kh, kw, sh, sw, dh, dw, *pads, groups = rows[draw.integers(len(rows))]
    batch = int(np.exp(draw.uniform(0.0, np.log(MOST_BATCH + 1))))
    if draw.random() < 0.5:
        factors = np.exp(draw.uniform(-0.7, 0.7, 3))
        step = groups if family == "conv" and groups > 1 else 8 if draw.random() < 0.8 else 1
        scaled = [
            max(step, round(value * f / step) * step)
            for value, f in zip((channels, out), factors[:2], strict=True)
        ]
        channels, out = scaled if channels > 4 else (channels, scaled[1])
        height, width = (max(1, round(value * factors[2])) for value in (height, width))
    if family in DENSE:
        return KernelSpec(family, batch, channels, out, kind="gemm")
    if family in CONVOLUTIONS:
        is_depthwise = family == "depthwise" or known.get(family) == "depthwise"
        out = channels if is_depthwise else out
        groups = channels if is_depthwise else groups
        window: Any = ((kh, kw), (sh, sw), (dh, dw), tuple(pads))
        return _kernel_or_none(
            family, batch, channels, out, height, width, *window[:2], window[2], window[3], groups
        )
    if family == "pool":
        return _kernel_or_none(
            family, batch, channels, channels, height, width, (kh, kw), (sh, sw), pads=tuple(pads)
        )
    if family == "softmax":
        return KernelSpec(family, batch, channels, channels, height * width)
    # What follows a convolution has the size that it writes.
    height, width = max(1, height // sh), max(1, width // sw)
    return KernelSpec(family, batch, out, out, height, width)


def dressed(base: KernelSpec, draw: np.random.Generator) -> KernelSpec | None:
    """Draw what a runtime fuses into a kernel, its kind, and whether its weights are cold."""
    changes = _kind(base, draw)
    if base.family == "recurrent":
        changes["bias"] = True
    elif base.family in CONVOLUTIONS or base.kind in ("gemm", "matmul"):
        changes["bias"] = bool(draw.random() < 0.75)
    if base.family in INT8:
        return replace(base, **changes)
    if base.family in CONVOLUTIONS and draw.random() < 0.6:
        changes["activation"] = "relu" if draw.random() < 0.6 else str(draw.choice(ACTIVATIONS))
    if base.kind == "gemm" and draw.random() < 0.4:
        changes["activation"] = "relu"
    # Runtimes add inside of the kernels that run in the blocked layout, whose channels are many.
    aligned = base.in_channels % 16 == 0 and base.out_channels % 16 == 0 and base.groups == 1
    if base.family == "conv" and aligned and draw.random() < 0.3:
        changes["adds"] = True
        if changes.get("activation") not in (None, "relu"):
            del changes["activation"]
    if base.weight_bytes >= COLD_BYTES and draw.random() < COLD_SHARE:
        changes["cold"] = base.family in (*CONVOLUTIONS, "dense")
    return replace(base, **changes)


def _kind(base: KernelSpec, draw: np.random.Generator) -> dict[str, Any]:
    """Draw which of its family a kernel is, and the layout of what it reads."""
    changes: dict[str, Any] = {}
    if base.family in KINDS and not base.kind:
        changes["kind"] = str(draw.choice(KINDS[base.family]))
    if base.family == "pool":
        changes["kind"] = str(draw.choice(["max", "max", "average", "average", "padded_average"]))
        if changes["kind"] == "padded_average" and not _is_exact(base):
            changes["kind"] = "average"
    if base.family == "concat" and changes["kind"] != "slice":
        changes["groups"] = min(int(draw.integers(2, 5)), base.in_channels)
    if base.family in PASSES and draw.random() < BLOCKED_SHARE:
        changes |= _blocked(base, int(changes.get("groups", 1)))
    return changes


def _blocked(base: KernelSpec, parts: int) -> dict[str, Any]:
    """Return what makes a pass one over the blocked layout, whose channels fill whole blocks."""
    step = BLOCK * parts
    channels = max(step, base.in_channels // step * step)
    return {"layout": "blocked", "in_channels": channels, "out_channels": channels}


def _is_exact(base: KernelSpec) -> bool:
    """Say whether rounding its size up or down is the same."""
    spans = [dilation * (taps - 1) + 1 for dilation, taps in zip(base.dilation, base.kernel, strict=True)]
    (top, left, bottom, right), (down, across) = base.pads, base.stride
    return (
        (base.height + top + bottom - spans[0]) % down == (base.width + left + right - spans[1]) % across == 0
    )


def _kernel_or_none(*values: Any, **named: Any) -> KernelSpec | None:
    """Return the kernel; None where the window is larger than the padded input."""
    try:
        return KernelSpec(*values, **named)
    except ConfigError:
        return None


def _rounded(value: int, draw: np.random.Generator, *, uniform: bool) -> int:
    """Return the number, or mostly one that people choose: a multiple of 8."""
    return value if uniform or value < 8 or draw.random() < 0.3 else value - value % 8


def _is_odd(family: str, kernel: tuple[int, int], height: int, width: int, draw: np.random.Generator) -> bool:
    """Say whether to draw again what no network has: windows beyond their map, most of one position."""
    if kernel[0] > height or kernel[1] > width:
        return True
    return family != "conv" and kernel == (1, 1) and bool(draw.random() < 0.9)


def _kernel(draw: np.random.Generator, *, uniform: bool) -> tuple[int, int]:
    usual = (0.3, 0.06, 0.38, 0.05, 0.11, 0.03, 0.07)
    first, second = (
        int(draw.integers(1, 8)) if uniform else int(draw.choice(7, p=usual)) + 1 for _ in range(2)
    )
    return (first, first) if draw.random() < 0.8 else (first, second)


def _stride(draw: np.random.Generator, *, uniform: bool) -> tuple[int, int]:
    usual = (0.62, 0.28, 0.06, 0.04)
    first, second = (
        int(draw.integers(1, 5)) if uniform else int(draw.choice(4, p=usual)) + 1 for _ in range(2)
    )
    return (first, first) if draw.random() < 0.9 else (first, second)


@lru_cache(maxsize=1)
def _shapes() -> dict[str, list[Shape]]:
    """Return the shapes of layers of real networks, by family."""
    text = files("juggler.predict").joinpath("network_shapes.json").read_text(encoding="utf-8")
    shapes: dict[str, list[Shape]] = {}
    record = parse_object(text, Request("read the shapes of layers", "Install juggler again"))
    for name, *sizes in record["shapes"]:
        family = str(name).partition(" ")[0]
        shapes.setdefault(family, []).append((family, *sizes))
    return shapes
