"""What a block of branches stands for: the numbers of one convolution, checked before anything is built."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from juggler.errors import ConfigError

Pair = tuple[int, int]
Size = int | Sequence[int]
"""One number for both directions, or one for the rows and one for the columns."""


@dataclass(frozen=True)
class Geometry:
    """The convolution that a block becomes once it is flat.

    Attributes:
        block: name of the block, for messages.
        norm: whether the branches carry batch norms.
        bias: whether the flat convolution has a bias although they carry none.
    """

    block: str
    in_channels: int
    out_channels: int
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    norm: bool
    bias: bool

    @property
    def pointwise(self) -> bool:
        """Say whether the kernel is a single tap."""
        return self.kernel == (1, 1)

    @property
    def depthwise(self) -> bool:
        """Say whether every channel is convolved by itself, one output each."""
        return self.groups == self.in_channels == self.out_channels

    @property
    def margin(self) -> Pair:
        """Return the padding that a single tap in the centre of the kernel needs for the same output size."""
        return self.padding_of((1, 1))

    @property
    def keeps_shape(self) -> bool:
        """Say whether the output has the input's shape, so that an identity can stand beside the kernel."""
        unmoved = self.stride == (1, 1) and self.margin == (0, 0)
        return unmoved and self.in_channels == self.out_channels

    def padding_of(self, kernel: Pair) -> Pair:
        """Return the padding of a smaller kernel in the centre of this one."""
        rows, columns = (
            p - d * (outer - part) // 2
            for p, d, outer, part in zip(self.padding, self.dilation, self.kernel, kernel, strict=True)
        )
        return rows, columns

    def check_centre(self) -> None:
        """Refuse a kernel beside whose centre no smaller kernel can stand.

        Raises:
            ConfigError: a side of the kernel is even, or is padded by less than half of it.
        """
        if any(k % 2 == 0 for k in self.kernel):
            raise self.refused(
                f"a kernel of {_times(self.kernel)} has no centre, where its smaller branches would sit",
                "Use an odd kernel, or ExpandedConv, which has one branch",
            )
        if min(self.margin) < 0:
            raise self.refused(
                f"padding {_times(self.padding)} is less than half of a {_times(self.kernel)} kernel with "
                f"dilation {_times(self.dilation)}, so its smaller branches would have to crop the map",
                "Pad by dilation * (kernel - 1) / 2 or more, or use ExpandedConv, which has one branch",
            )

    def check_spread(self) -> None:
        """Refuse a single tap, beside which smaller branches have no place.

        Raises:
            ConfigError: the kernel is 1x1.
        """
        if self.pointwise:
            raise self.refused(
                "a 1x1 kernel has no smaller branches", "Use MobileOneBlock or ExpandedConv for a 1x1"
            )

    def check_asymmetric(self) -> None:
        """Refuse a kernel of one row or one column, within which there is no other such kernel.

        Raises:
            ConfigError: a side of the kernel is 1.
        """
        if min(self.kernel) == 1:
            raise self.refused(
                f"a {_times(self.kernel)} kernel has no asymmetric kernels within",
                "Use a k x k kernel, or RepVGGBlock",
            )

    def check_average(self) -> None:
        """Refuse a kernel that is spread out, over which no pooling averages.

        Raises:
            ConfigError: the dilation is more than 1.
        """
        if self.dilation != (1, 1):
            raise self.refused("average pooling has no dilation", "Use RepVGGBlock or ACBlock")

    def refused(self, reason: str, remedy: str) -> ConfigError:
        """Return the error that says why the block cannot be built."""
        return ConfigError(f"build {self.block}", reason, remedy)


def geometry(
    block: str,
    channels: tuple[int, int],
    kernel: Size,
    stride: Size,
    *,
    padding: Size | None,
    dilation: Size,
    groups: int,
    norm: bool,
    bias: bool,
) -> Geometry:
    """Check the numbers of a block; `padding=None` keeps the size at stride 1.

    Raises:
        ConfigError: a number cannot be one of a convolution's.
    """
    for name, count in zip(("in_channels", "out_channels", "groups"), (*channels, groups), strict=True):
        _whole(block, name, count, least=1)
    if channels[0] % groups or channels[1] % groups:
        raise ConfigError(
            f"build {block}",
            f"{groups} groups do not divide {channels[0]} and {channels[1]} channels",
            "Give a number of groups that divides both",
        )
    sides, steps = _pair(block, "kernel", kernel, 1), _pair(block, "stride", stride, 1)
    spread = _pair(block, "dilation", dilation, 1)
    half = (spread[0] * (sides[0] - 1) // 2, spread[1] * (sides[1] - 1) // 2)
    pads = half if padding is None else _pair(block, "padding", padding, 0)
    return Geometry(block, *channels, sides, steps, pads, spread, groups, norm, bias)


def width(block: str, channels: int, expansion: float, groups: int = 1) -> int:
    """Return `expansion * channels`, rounded, at least 1, and raised to a multiple of `groups`.

    Raises:
        ConfigError: the expansion is no number above 0.
    """
    real = isinstance(expansion, int | float) and not isinstance(expansion, bool)
    if not real or not 0 < expansion < math.inf:
        raise ConfigError(f"build {block}", f"expansion is {expansion!r}", "Give a number above 0")
    hidden = max(1, round(expansion * channels))
    return -(-hidden // groups) * groups


def _pair(block: str, name: str, size: Size, least: int) -> Pair:
    values = (size, size) if isinstance(size, int) else tuple(size)
    if len(values) != 2:
        raise ConfigError(f"build {block}", f"{name} is {size!r}", "Give one whole number, or two")
    for value in values:
        _whole(block, name, value, least)
    return values[0], values[1]


def _whole(block: str, name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(
            f"build {block}", f"{name} is {value!r}", f"Give a whole number of at least {least}"
        )


def _times(pair: Pair) -> str:
    return f"{pair[0]}x{pair[1]}"
