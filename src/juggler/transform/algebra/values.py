"""What is linear, as values: everything a region is made of beside `algebra.Conv`.

A value computes one map from one or more maps; it knows nothing of graphs or modules, is never changed, and
can be called. Channels are axis 1, except for values without spatial dimensions (a linear layer, and what
follows it): these act on the last axis, as `nn.Linear` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from juggler.count.geometry import macs_of_layer
from juggler.transform.algebra.conv import Conv

_POOL: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_TRANSPOSE: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


@dataclass(frozen=True, eq=False)
class Scale:
    """Multiply each channel by a number and add another: a batch norm in evaluation mode, or a constant.

    Attributes:
        scale: `[channels]`.
        shift: `[channels]`, or `None` where nothing is added.
        rank: spatial dimensions; 0 acts on the last axis.
    """

    scale: Tensor
    shift: Tensor | None
    rank: int

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to `[batch, channels, *space]`."""
        scaled = x * self._spread(self.scale)
        return scaled if self.shift is None else scaled + self._spread(self.shift)

    def _spread(self, values: Tensor) -> Tensor:
        return values.reshape(-1, *[1] * self.rank)

    def shift_or_zeros(self) -> Tensor:
        """Return the shift, or zeros `[channels]`."""
        return torch.zeros_like(self.scale) if self.shift is None else self.shift


@dataclass(frozen=True, eq=False)
class Pool:
    """Average over windows, zeros of the padding counted."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Average `[batch, channels, *space]`."""
        return _POOL[len(self.kernel)](x, self.kernel, self.stride, self.padding)

    def as_conv(self, channels: int, like: Tensor) -> Conv:
        """Return the depthwise convolution that computes the same, of the element type of `like`."""
        weight = like.new_full((channels, 1, *self.kernel), 1.0 / math.prod(self.kernel))
        ones = (1,) * len(self.kernel)
        return Conv(weight, None, self.stride, self.padding, ones, groups=channels)


@dataclass(frozen=True, eq=False)
class GlobalPool:
    """Average over all of space, whatever its size, and keep it as sides of 1."""

    rank: int

    def __call__(self, x: Tensor) -> Tensor:
        """Average `[batch, channels, *space]` to `[batch, channels, 1, ...]`."""
        return x.mean(tuple(range(-self.rank, 0)), keepdim=True)


@dataclass(frozen=True, eq=False)
class Pad:
    """Put zeros around: `before` and `after` each spatial dimension."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Pad `[batch, channels, *space]`."""
        pairs = zip(reversed(self.before), reversed(self.after), strict=True)
        return F.pad(x, [side for pair in pairs for side in pair])


@dataclass(frozen=True, eq=False)
class Transposed:
    """A transposed convolution; kernels are `[in, out / groups, *kernel]`, as torch stores them."""

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to `[batch, in, *space]`."""
        return _TRANSPOSE[self.weight.ndim - 2](
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )

    @property
    def out_channels(self) -> int:
        """Return the number of output channels."""
        return self.weight.shape[1] * self.groups


@dataclass(frozen=True, eq=False)
class Shift:
    """Add a constant map, `[1, channels, *space]`: a bias that is another one at the border."""

    map: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Add to `[batch, channels, *space]` of the map's own size."""
        return x + self.map


@dataclass(frozen=True, eq=False)
class OnesChannel:
    """Append a channel of ones, so that a zero-padding convolution knows where the image ends."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return `[batch, channels + 1, *space]`."""
        return torch.cat((x, torch.ones_like(x[:, :1])), 1)


@dataclass(frozen=True, eq=False)
class Identity:
    """Give what is read: `nn.Identity`, and dropout in evaluation mode."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return the map itself."""
        return x


@dataclass(frozen=True, eq=False)
class Sum:
    """Add maps of one shape."""

    def __call__(self, *maps: Tensor) -> Tensor:
        """Add them from left to right."""
        total = maps[0]
        for summand in maps[1:]:
            total = total + summand
        return total


@dataclass(frozen=True, eq=False)
class Stack:
    """Put the channels of several maps one after another."""

    def __call__(self, *maps: Tensor) -> Tensor:
        """Concatenate along axis 1."""
        return torch.cat(maps, 1)


@dataclass(frozen=True, eq=False)
class Part:
    """Take one of the pieces into which the channels split."""

    sizes: tuple[int, ...]
    index: int

    def __call__(self, x: Tensor) -> Tensor:
        """Return `[batch, sizes[index], *space]`."""
        return torch.split(x, list(self.sizes), 1)[self.index]


@dataclass(frozen=True, eq=False)
class Elementwise:
    """What is applied to every value by itself and is not linear: a wall that ends a region.

    Attributes:
        function: a module or a function of one map.
        key: equal for two that compute the same.
        template: what whoever writes the graph copies; the algebra never looks at it.
    """

    function: Callable[[Tensor], Any]
    key: str
    template: Any = None

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the function, not in place."""
        result: Tensor = self.function(x.clone())
        return result


Value = (
    Conv
    | Scale
    | Pool
    | GlobalPool
    | Pad
    | Transposed
    | Shift
    | OnesChannel
    | Identity
    | Sum
    | Stack
    | Part
    | Elementwise
)


def macs(value: Value, read: tuple[int, ...], written: tuple[int, ...]) -> int:
    """Return the multiply-accumulates of a value by the shapes of its maps; convolutions alone count."""
    if isinstance(value, Conv | Transposed):
        transposed = isinstance(value, Transposed)
        return macs_of_layer(value.weight.shape, read, written, transposed=transposed)
    return 0


def parameter_count(value: Value) -> int:
    """Return how many numbers the value keeps."""
    numbers = (getattr(value, name, None) for name in ("weight", "bias", "scale", "shift", "map"))
    return sum(tensor.numel() for tensor in numbers if isinstance(tensor, Tensor))


def describe(value: Value) -> tuple[Any, ...]:
    """Return what the value is without its numbers: equal for two values of the same cost."""
    fields = vars(value)
    plain = {
        k: tuple(v.shape) if isinstance(v, Tensor) else v
        for k, v in fields.items()
        if k not in ("function", "template")
    }
    return (type(value).__name__, *sorted(plain.items(), key=lambda item: item[0]))
