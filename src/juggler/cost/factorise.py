"""Other kernels for the same convolution: factorised as in Inception (the analysis paper, II-C), and merged.

Sizes only: factorised networks are trained anew, and a merged convolution is the same function inside the
border (`transform` does that, and proves it). Changes are those of `whatif`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from juggler.cost.whatif import Change, Variant
from juggler.count.geometry import Geometry
from juggler.errors import ConfigError


def asymmetric() -> Change:
    """Replace an n x n convolution by 1 x n and n x 1; others are left alone.

    The first gives as many channels as the whole, each takes the stride of its own dimension, so the sizes
    stay.
    """

    def change(op: Variant) -> tuple[Variant, ...]:
        was = op.geometry
        if was.kind != "conv" or len(was.kernel) != 2 or was.kernel[0] != was.kernel[1] or was.kernel[0] < 2:
            return (op,)
        across = Geometry.conv(
            was.in_channels,
            was.out_channels,
            (1, was.kernel[1]),
            was.in_size,
            stride=(1, was.stride[1]),
            padding=(0, was.padding[1]),
            dilation=(1, was.dilation[1]),
            groups=was.groups,
            batch=was.batch,
        )
        down = Geometry.conv(
            was.out_channels,
            was.out_channels,
            (was.kernel[0], 1),
            across.out_size,
            stride=(was.stride[0], 1),
            padding=(was.padding[0], 0),
            dilation=(was.dilation[0], 1),
            groups=was.groups,
            batch=was.batch,
        )
        return replace(op, geometry=across), replace(op, geometry=down)

    return change


def stacked_3x3() -> Change:
    """Replace a 5x5 convolution by two 3x3, a 7x7 by three and so on; others are left alone.

    The first gives as many channels as the whole, the last takes the stride, so that the sizes stay.
    """

    def change(op: Variant) -> tuple[Variant, ...]:
        was = op.geometry
        side = was.kernel[0] if was.kernel else 0
        if was.kind != "conv" or was.kernel != (side, side) or side < 5 or side % 2 == 0:
            return (op,)
        parts = (side - 1) // 2
        variants: list[Variant] = []
        size, channels = was.in_size, was.in_channels
        for part in range(parts):
            last = part == parts - 1
            layer = Geometry.conv(
                channels,
                was.out_channels,
                3,
                size,
                stride=was.stride if last else 1,
                # The padding is shared out: it has to be there before the edge is cut off.
                padding=tuple(pad // parts + (part < pad % parts) for pad in was.padding),
                dilation=was.dilation,
                groups=was.groups,
                batch=was.batch,
            )
            variants.append(replace(op, geometry=layer))
            size, channels = layer.out_size, was.out_channels
        return tuple(variants)

    return change


def merged(first: Geometry, second: Geometry) -> Geometry:
    """Return the one convolution that two in a row are: what merging a block outright gives.

    Raises:
        ConfigError: they are no convolutions, or the second does not read what the first writes.
    """
    fits = (
        first.kind == second.kind == "conv"
        and first.out_channels == second.in_channels
        and first.out_size == second.in_size
        and first.batch == second.batch
    )
    if not fits:
        raise ConfigError(
            "merge two convolutions",
            f"a {first.kind} that writes {first.out_channels} channels of {first.out_size} and a "
            f"{second.kind} that reads {second.in_channels} of {second.in_size}",
            "Give two convolutions of which the second reads what the first writes",
        )
    taps = [
        _merged_taps(k1, d1, s1, k2, d2)
        for k1, d1, s1, k2, d2 in zip(
            first.kernel, first.dilation, first.stride, second.kernel, second.dilation, strict=True
        )
    ]
    steps = zip(first.stride, second.stride, strict=True)
    pads = zip(first.padding, second.padding, first.stride, strict=True)
    return Geometry.conv(
        first.in_channels,
        second.out_channels,
        [kernel for kernel, _ in taps],
        first.in_size,
        stride=[s1 * s2 for s1, s2 in steps],
        padding=[p1 + s1 * p2 for p1, p2, s1 in pads],
        dilation=[gap for _, gap in taps],
        groups=math.gcd(first.groups, second.groups),
        batch=first.batch,
    )


def _merged_taps(k1: int, d1: int, s1: int, k2: int, d2: int) -> tuple[int, int]:
    """Return taps and dilation along one dimension; where both have taps, gaps between them are filled."""
    if k1 == 1:
        return k2, s1 * d2
    if k2 == 1:
        return k1, d1
    return d1 * (k1 - 1) + s1 * d2 * (k2 - 1) + 1, 1
