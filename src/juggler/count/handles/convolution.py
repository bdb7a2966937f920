"""Convolutions of one to three dimensions, grouped, dilated, transposed."""

from __future__ import annotations

from math import prod

from juggler.count.geometry import Geometry, macs_of_layer
from juggler.count.work import Call, Handle, Work


def _convolve(call: Call) -> Work:
    """Count a convolution: each output is a sum over the kernel and the channels of its group.

    Taps that fall on the padding count, as they do in every runtime's inner loop. A transposed convolution
    multiplies each input by the whole kernel instead.
    """
    transposed = bool(call["transposed"])
    weight, read, written = call.size("weight"), call.size("input"), call.out
    macs = macs_of_layer(weight, read, written, transposed=transposed)
    additions = prod(written) if call.has("bias") else 0
    return Work(
        "conv", macs=macs, additions=additions, geometry=_geometry(call, transposed) if macs else None
    )


def _geometry(call: Call, transposed: bool) -> Geometry:
    weight, read, written = call.size("weight"), call.size("input"), call.out
    kernel = weight[2:]
    unbatched = len(read) == len(weight) - 1
    batch, read, written = (1, read, written) if unbatched else (read[0], read[1:], written[1:])
    return Geometry(
        kind="transposed" if transposed else "conv",
        batch=batch,
        in_channels=read[0],
        out_channels=written[0],
        kernel=kernel,
        stride=_each(call["stride"], len(kernel)),
        padding=_each(call["padding"], len(kernel)),
        dilation=_each(call["dilation"], len(kernel)),
        groups=int(call["groups"]),
        in_size=read[1:],
        out_size=written[1:],
    )


def _each(values: list[int], dimensions: int) -> tuple[int, ...]:
    """Return one number a dimension; operators may give one for all."""
    return tuple(values) * dimensions if len(values) == 1 else tuple(values)


HANDLES: dict[str, Handle] = dict.fromkeys(
    ("aten.convolution", "aten._convolution", "aten.convolution_overrideable"), _convolve
)
