"""The small parts that all blocks of branches are composed of.

Every part is linear in evaluation mode and is written with torch's own modules. Where two kernels follow
one another the padding sits on the first: the second then sees, outside the image too, what the first and
its norm give there, and the two are one kernel exactly, border included.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from juggler.models.branches.geometry import Geometry, Pair
from juggler.models.layers.inside_norm import InsideBatchNorm2d


class Branched(nn.Module, ABC):
    """A block of branches that stands for one convolution; whoever wants an activation puts it behind.

    Attributes:
        geometry: the convolution that it becomes once it is flat.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.geometry = geometry

    @abstractmethod
    def linear(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', H', W']`: in evaluation mode, one convolution of the input."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', H', W']`, the shape that the k x k kernel gives."""
        return self.linear(x)

    def identities(self) -> tuple[nn.Conv2d, ...]:
        """Return the 1x1 kernels that start as the identity, for whoever draws all weights anew."""
        return ()

    @abstractmethod
    def start_from(self, weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d | None) -> None:
        """Take over a trained convolution and the norm behind it: evaluated, the block computes the same.

        Args:
            weight: `[out, in / groups, *kernel]`.
            bias: `[out]`, where the convolution has one.
            norm: the norm that reads the convolution; only for blocks with norms.
        """


class Sum(Branched):
    """Add what the branches make of one input.

    Args:
        geometry: the convolution that the block stands for.
        branches: its branches by name. The first is the bare k x k kernel, with its norm; it takes over a
            trained convolution, while the norm or kernel that closes each other branch starts at zero.
    """

    def __init__(self, geometry: Geometry, branches: dict[str, nn.Module | None]) -> None:
        super().__init__(geometry)
        for name, branch in branches.items():
            if branch is not None:
                self.add_module(name, branch)

    def linear(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', H', W']`, the shape that the k x k kernel gives."""
        first, *others = self.children()
        total: Tensor = first(x)
        for branch in others:
            total = total + branch(x)
        return total

    @torch.no_grad()
    def start_from(self, weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d | None) -> None:
        """Take over a trained convolution and its norm; the function is kept in training mode too."""
        main, *others = self.children()
        for branch in others:
            silence(branch)
        kernel = next(part for part in main.modules() if isinstance(part, nn.Conv2d))
        kernel.weight.copy_(weight)
        if kernel.bias is not None and bias is not None:
            kernel.bias.copy_(bias)
        if norm is not None and isinstance(main, nn.Sequential):
            main[1] = taken = copy.deepcopy(norm)
            if bias is not None and taken.running_mean is not None:
                taken.running_mean -= bias  # the norm takes the mean away, and so the bias with it


def conv_norm(geometry: Geometry, kernel: Pair | None = None, *, bias: bool = False) -> nn.Sequential:
    """Return a kernel, by default the whole one, centred in the block's, and its norm where there are norms.

    Args:
        geometry: of the block.
        kernel: size; smaller ones sit in the centre: `(1, 1)`, `(1, k)`, `(k, 1)`.
        bias: whether it carries the block's bias, if that has one and no norms.
    """
    g, size = geometry, kernel or geometry.kernel
    with_bias = bias and g.bias and not g.norm
    conv = nn.Conv2d(
        g.in_channels,
        g.out_channels,
        size,
        g.stride,
        g.padding_of(size),
        g.dilation,
        g.groups,
        bias=with_bias,
    )
    return nn.Sequential(conv, batch_norm(g, g.out_channels))


def batch_norm(geometry: Geometry, channels: int, *, padded: bool = False) -> nn.Module:
    """Return a batch norm, or an identity where the block has none.

    Args:
        geometry: of the block.
        channels: of the map.
        padded: whether the block's padding went around the map; then its ring is left out of the statistics.
    """
    if not geometry.norm:
        return nn.Identity()
    if padded and geometry.padding != (0, 0):
        return InsideBatchNorm2d(channels, geometry.padding)
    return nn.BatchNorm2d(channels)


def identity_norm(geometry: Geometry) -> nn.Module | None:
    """Return the norm of the input itself; `None` where the shape changes, or without norms.

    Without a norm it would have nothing to learn, and it would only move the centre of the kernel by 1.
    """
    return nn.BatchNorm2d(geometry.in_channels) if geometry.norm and geometry.keeps_shape else None


def padded_point(geometry: Geometry, hidden: int) -> nn.Conv2d:
    """Return a 1x1 kernel that does the padding of the block."""
    g = geometry
    return nn.Conv2d(g.in_channels, hidden, 1, padding=g.padding, groups=g.groups, bias=False)


def unpadded(geometry: Geometry, in_channels: int, out_channels: int) -> nn.Conv2d:
    """Return the block's kernel for a map that is padded already."""
    g = geometry
    return nn.Conv2d(in_channels, out_channels, g.kernel, g.stride, 0, g.dilation, g.groups, bias=False)


def point_then_kernel(geometry: Geometry, hidden: int) -> nn.Sequential:
    """Return 1x1 -> k x k, padded first, a norm behind each."""
    g = geometry
    first = [padded_point(g, hidden), batch_norm(g, hidden, padded=True)]
    return nn.Sequential(*first, unpadded(g, hidden, g.out_channels), batch_norm(g, g.out_channels))


def point_then_average(geometry: Geometry) -> nn.Sequential:
    """Return 1x1 -> average over k x k, padded first, a norm behind each."""
    g = geometry
    first = [padded_point(g, g.out_channels), batch_norm(g, g.out_channels, padded=True)]
    return nn.Sequential(*first, nn.AvgPool2d(g.kernel, g.stride), batch_norm(g, g.out_channels))


def average_norm(geometry: Geometry) -> nn.Module | None:
    """Return the average over k x k and its norm, for depthwise blocks; `None` without norms.

    Zeros of the padding count, as they do for a kernel. Alone it would have nothing to learn.
    """
    g = geometry
    pool = nn.AvgPool2d(g.kernel, g.stride, g.padding, count_include_pad=True)
    return nn.Sequential(pool, nn.BatchNorm2d(g.out_channels)) if g.norm else None


@torch.no_grad()
def start_as_identity(kernel: nn.Conv2d) -> None:
    """Set a 1x1 kernel to the identity, in each group: output i to input i, as far as there are both.

    Outputs beyond the last input keep the weights that they were drawn with.
    """
    weight = by_group(kernel.weight, kernel.groups)
    both = min(weight.shape[1], weight.shape[2])
    weight[:, :both] = 0
    weight[:, :both, :both] = eye(both, weight)


def by_group(weight: Tensor, groups: int) -> Tensor:
    """Return a view of a kernel `[C', C / groups, kh, kw]` as `[groups, C' / groups, C / groups, kh, kw]`."""
    return weight.view(groups, -1, *weight.shape[1:])


def eye(size: int, like: Tensor) -> Tensor:
    """Return the identity as a 1x1 kernel `[size, size, 1, 1]`."""
    return torch.eye(size, dtype=like.dtype, device=like.device)[:, :, None, None]


@torch.no_grad()
def silence(branch: nn.Module) -> None:
    """Set what closes a branch, its last norm or else its last kernel, to zero; it still gets gradients."""
    last = [part for part in branch.modules() if isinstance(part, nn.BatchNorm2d | nn.Conv2d)][-1]
    for parameter in last.parameters(recurse=False):
        nn.init.zeros_(parameter)
