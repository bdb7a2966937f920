"""The algebra of linear convolutions: tensors in, tensors out.

A `Conv` is a convolution as a value: its kernel, its bias and its geometry. The functions below compose
such values exactly; they know nothing of graphs or modules. `*` means cross-correlation, as in torch,
kernels are `[out, in / groups, *kernel]`, and every function works for one, two or three dimensions, and for
none: a linear layer is a convolution of no spatial dimension, which acts on the last axis.

Juggler-ResNet (Zhu et al.) section III-C gives the operators: Eq. 2-4 fold a batch norm, Eq. 5-7 fuse
convolutions one after another (see `composition`), Fig. 6 fuses convolutions side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from juggler.lazy import renamed

_CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@dataclass(frozen=True)
class Conv:
    """A convolution as a value; zero padding, the same on both sides of each dimension.

    Attributes:
        weight: `[out, in / groups, *kernel]`.
        bias: `[out]`, or `None` where there is none. A bias of zeros is a bias: what may be fused is
            decided by structure, never by the values of the moment.
        stride, padding, dilation: one number a spatial dimension.
        groups: channels are split in so many independent parts.
    """

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def kernel(self) -> tuple[int, ...]:
        """Return the kernel's size in each spatial dimension."""
        return tuple(self.weight.shape[2:])

    @property
    def out_channels(self) -> int:
        """Return the number of output channels."""
        return self.weight.shape[0]

    @property
    def in_channels(self) -> int:
        """Return the number of input channels."""
        return self.weight.shape[1] * self.groups

    def bias_or_zeros(self) -> Tensor:
        """Return the bias, or zeros `[out]` of the weight's type."""
        return self.weight.new_zeros(self.out_channels) if self.bias is None else self.bias

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the convolution to `x`: `[batch, in, *space]`, or `[..., in]` without spatial dimensions."""
        if not self.kernel:
            return F.linear(x, self.weight, self.bias)
        options: dict[str, Any] = {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }
        return _CONVOLVE[len(self.kernel)](x, self.weight, self.bias, **options)


@dataclass(frozen=True)
class NotFusible:
    """Two convolutions have no exact common form; why, and what to change in the network."""

    reason: str
    remedy: str


def fold_scale_shift(conv: Conv, scale: Tensor, shift: Tensor) -> Conv:
    """Fold `y * scale + shift`, both `[out]`, into the convolution that computes `y`. Always exact.

    Source: Juggler-ResNet Eq. 2-4, with the `eps` that Eq. 2 leaves out already inside `scale`.
    """
    spread = scale.reshape(-1, *[1] * (conv.weight.ndim - 1))
    return replace(conv, weight=conv.weight * spread, bias=conv.bias_or_zeros() * scale + shift)


def scale_shift(
    mean: Tensor, var: Tensor, eps: float, gamma: Tensor | None, beta: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the `scale` and `shift`, `[channels]` each, that a batch norm applies in evaluation mode."""
    scale = torch.rsqrt(var + eps) if gamma is None else gamma * torch.rsqrt(var + eps)
    shift = -mean * scale if beta is None else beta - mean * scale
    return scale, shift


def identity(channels: int, groups: int, like: Conv) -> Conv:
    """Return the convolution with the geometry of `like` that computes its own input.

    It is exact only where `like` keeps size and channels, which `add` checks.
    """
    weight = like.weight.new_zeros(channels, channels // groups, *like.kernel)
    centre = tuple(k // 2 for k in like.kernel)
    rows = torch.arange(channels)
    ones: tuple[Any, ...] = (rows, rows % (channels // groups), *centre)
    weight[ones] = 1.0
    return replace(like, weight=weight, bias=None, groups=groups)


def densify(conv: Conv, groups: int = 1) -> Conv:
    """Write a grouped convolution with fewer groups, a divisor of its own; exact, with zeros between them."""
    if conv.groups == groups:
        return conv
    width, dense_width = conv.weight.shape[1], conv.in_channels // groups
    weight = conv.weight.new_zeros(conv.out_channels, dense_width, *conv.kernel)
    rows = conv.out_channels // conv.groups
    for g in range(conv.groups):
        o, start = slice(g * rows, (g + 1) * rows), g * width % dense_width
        weight[o, start : start + width] = conv.weight[o]
    return replace(conv, weight=weight, groups=groups)


def add(first: Conv, second: Conv) -> Conv | NotFusible:
    """Fuse two convolutions of one input, whose outputs are added, into one (Fig. 6 of the paper).

    The smaller kernel sits in the centre of the larger one. Always exact where both give the same size
    for every input: equal stride, and equal `2 padding - dilation (kernel - 1)`.
    """
    if first.stride != second.stride:
        return NotFusible(
            f"their strides differ: {first.stride} and {second.stride}", "Use one stride in both"
        )
    if first.groups != second.groups:
        common = math.gcd(first.groups, second.groups)
        first, second = densify(first, common), densify(second, common)
    if first.weight.shape[:2] != second.weight.shape[:2]:
        return NotFusible(
            f"their channels differ: {tuple(first.weight.shape[:2])} and {tuple(second.weight.shape[:2])}, "
            "the sum broadcasts",
            "Give both branches the same channels",
        )
    dilation = tuple(
        b if k == 1 else a for k, a, b in zip(first.kernel, first.dilation, second.dilation, strict=True)
    )
    size = tuple(max(a, b) for a, b in zip(first.kernel, second.kernel, strict=True))
    parts = [_embed(conv, size, dilation) for conv in (first, second)]
    if parts[0] is None or parts[1] is None or parts[0].padding != parts[1].padding:
        return NotFusible(
            f"their kernels have no common centre: sizes {first.kernel} and {second.kernel}, padding "
            f"{first.padding} and {second.padding}, dilation {first.dilation} and {second.dilation}",
            "Use odd kernels with padding = dilation * (kernel - 1) / 2 in both branches",
        )
    biases = [conv.bias for conv in parts if conv is not None and conv.bias is not None]
    bias = None if not biases else biases[0] if len(biases) == 1 else biases[0] + biases[1]
    return replace(parts[0], weight=parts[0].weight + parts[1].weight, bias=bias)


def _embed(conv: Conv, size: tuple[int, ...], dilation: tuple[int, ...]) -> Conv | None:
    """Centre the kernel in one of `size` and `dilation`; `None` where the grid of taps does not allow it."""
    margins = [n - k for n, k in zip(size, conv.kernel, strict=True)]
    regular = all(
        margin % 2 == 0 and (k == 1 or d == conv_dilation)
        for margin, k, d, conv_dilation in zip(margins, conv.kernel, dilation, conv.dilation, strict=True)
    )
    if not regular:
        return None
    pads = [side for margin in reversed(margins) for side in (margin // 2, margin // 2)]
    padding = tuple(p + d * margin // 2 for p, d, margin in zip(conv.padding, dilation, margins, strict=True))
    return replace(conv, weight=F.pad(conv.weight, pads), padding=padding, dilation=dilation)


def stack(parts: Sequence[Conv]) -> Conv | NotFusible:
    """Write convolutions of one input as one, whose channels are theirs one after another.

    Source: the horizontal operator of the paper (section III-C3) without the addition.
    """
    first = parts[0]
    alike = [p for p in parts if geometry(p) == geometry(first)]
    if len(alike) < len(parts) or first.groups != 1:
        return NotFusible("their kernels, strides or groups differ", "Nothing to do")
    bias = None
    if any(part.bias is not None for part in parts):
        bias = torch.cat([part.bias_or_zeros() for part in parts])
    return replace(first, weight=torch.cat([part.weight for part in parts]), bias=bias)


def geometry(conv: Conv) -> tuple[object, ...]:
    """Return what decides where the convolution looks: kernel, stride, padding, dilation and groups."""
    return conv.kernel, conv.stride, conv.padding, conv.dilation, conv.groups


def relative_error(reference: Tensor, tensor: Tensor) -> float:
    """Return max|difference| / max|reference|; infinite where shapes differ, NaN where a value is NaN.

    Elementwise ratios explode near zero and say nothing. A reference that is zero everywhere allows
    nothing but zeros.
    """
    if reference.shape != tensor.shape:
        return float("inf")
    if reference.numel() == 0:
        return 0.0
    difference = (reference.double() - tensor.double()).abs().max().item()
    scale = reference.double().abs().max().item()
    if scale == 0.0:
        return 0.0 if difference == 0.0 else float("inf")
    return difference / scale


__getattr__ = renamed(__name__, {"Impossible": "juggler.transform.algebra.conv:NotFusible"})
