"""Convolutions of one to three dimensions, grouped, dilated, transposed."""

from __future__ import annotations

from dataclasses import replace
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


def _whole(call: Call) -> Work:
    """Count a convolution that torch would take apart; where padding is a word, its sizes are not told."""
    arguments = {**call.arguments, "transposed": "transpose" in call.operator}
    full_call = replace(call, arguments=arguments)
    if isinstance(call["padding"], str):
        macs = macs_of_layer(call.size("weight"), call.size("input"), call.out)
        return Work("conv", macs=macs, additions=prod(call.out) if call.has("bias") else 0)
    return _convolve(full_call)


# Of complex numbers torch makes three real convolutions and some sums: they are counted as what they are.
COMPLEX: dict[str, Handle] = {
    f"aten.{kind}{d}d": _whole for d in (1, 2, 3) for kind in ("conv", "conv_transpose")
}
HANDLES: dict[str, Handle] = dict.fromkeys(
    ("aten.convolution", "aten._convolution", "aten.convolution_overrideable"), _convolve
)
