"""Chains of a 1x1, a k x k and a 1x1 kernel: ExpandNet's, and what Juggler-ResNet's is made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from juggler.models.branches.geometry import Geometry, Size, geometry, width
from juggler.models.branches.parts import Branched, batch_norm, by_group, eye, padded_point, unpadded
from juggler.models.layers.annealing import AnnealedReLU
from juggler.models.layers.inside_norm import InsideBatchNorm2d


class Chain(Branched):
    """Run 1x1, k x k and 1x1 kernels, padded first, with or without norms behind each.

    Args:
        geometry: the convolution that the chain stands for.
        hidden: channels of the two maps between, multiples of the groups.
        activations: whether an `AnnealedReLU` stands behind each of those maps.
    """

    def __init__(self, geometry: Geometry, hidden: tuple[int, int], *, activations: bool = False) -> None:
        super().__init__(geometry)
        g, (before, after) = geometry, hidden
        self.expand = padded_point(g, before)
        self.expand_norm = batch_norm(g, before, padded=True)
        self.spatial = unpadded(g, before, after)
        self.spatial_norm = batch_norm(g, after)
        with_bias = g.bias and not g.norm
        self.reduce = nn.Conv2d(after, g.out_channels, 1, groups=g.groups, bias=with_bias)
        self.reduce_norm = batch_norm(g, g.out_channels)
        # One for both maps: it holds nothing but its share.
        self.between = AnnealedReLU() if activations else None

    def linear(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', H', W']`, the shape that the k x k kernel gives."""
        wide = self._activated(self.expand_norm(self.expand(x)))
        wide = self._activated(self.spatial_norm(self.spatial(wide)))
        out: Tensor = self.reduce_norm(self.reduce(wide))
        return out

    def _activated(self, wide: Tensor) -> Tensor:
        if self.between is None:
            return wide
        out: Tensor = self.between(wide)
        return out

    @torch.no_grad()
    def start_from(self, weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d | None) -> None:
        """Take over a trained convolution with its norm folded in; the chain's own norms start neutral.

        They are neutral in evaluation mode. In training mode they normalise by the batch, which changes the
        function until `restate` has given them the statistics of real inputs.

        Raises:
            ConfigError: a hidden map is too narrow to carry the convolution, or an activation stands behind.
        """
        g = self.geometry
        if self.between is not None:
            raise g.refused(
                "with activations between its kernels it cannot start as a convolution",
                "Leave out activations, or keep_function",
            )
        before, after = self.spatial.in_channels, self.spatial.out_channels
        if before < g.in_channels or after < g.out_channels:
            raise g.refused(
                f"its hidden maps, {before} and {after} wide, cannot carry a convolution of "
                f"{g.in_channels} to {g.out_channels} channels",
                "Use an expansion of 1 or more",
            )
        if norm is not None:
            weight, bias = folded(weight, bias, norm)
        self._carry(weight)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                _neutralise(part)
        last = self.reduce_norm if g.norm else self.reduce
        if bias is not None and isinstance(last.bias, Tensor):
            last.bias.copy_(bias)

    def _carry(self, weight: Tensor) -> None:
        """Put a kernel into the first channels of each group; the rest starts without effect."""
        g = self.geometry
        into, out = g.in_channels // g.groups, g.out_channels // g.groups
        expand, spatial, reduce = (
            by_group(conv.weight, g.groups) for conv in (self.expand, self.spatial, self.reduce)
        )
        expand[:, :into] = eye(into, weight)
        spatial[:, :out, :into] = by_group(weight, g.groups)
        spatial[:, :out, into:] = 0
        reduce[:, :, :out] = eye(out, weight)
        reduce[:, :, out:] = 0


class ExpandedConv(Chain):
    """Compute ExpandNet's expanded convolution: 1x1, k x k, 1x1, wider within, nothing beside it.

    C -> rC, rC -> rC', rC' -> C'. Source: Guo, Alvarez and Salzmann, "ExpandNets: Linear
    Over-parameterization to Train Compact Convolutional Networks" (NeurIPS 2020), section 3, ExpandNet-CL.
    The first 1x1 pads, so that norms may stand between and the result is exact at the border all the same.
    Expanding one k x k into several 3x3 (ExpandNet-CK) is not built. As the only structure with a single
    branch it takes every kernel and padding.

    Args:
        in_channels: C.
        out_channels: C'.
        kernel: k, or a pair.
        stride: of the k x k kernel.
        padding: of the input; half the kernel by default.
        dilation: of the k x k kernel.
        groups: of all three.
        expansion: r; the paper's is 4.
        norm: whether a batch norm stands behind each kernel.
        bias: without norms, whether the last kernel has a bias.

    Raises:
        ConfigError: a number cannot be one of a convolution's.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Size = 3,
        stride: Size = 1,
        *,
        padding: Size | None = None,
        dilation: Size = 1,
        groups: int = 1,
        expansion: float = 4.0,
        norm: bool = True,
        bias: bool = True,
    ) -> None:
        g = geometry(
            "an ExpandedConv",
            (in_channels, out_channels),
            kernel,
            stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            norm=norm,
            bias=bias,
        )
        hidden = [width(g.block, channels, expansion, groups) for channels in (in_channels, out_channels)]
        super().__init__(g, (hidden[0], hidden[1]))


def restate(block: Branched) -> list[torch.utils.hooks.RemovableHandle]:
    """Make each norm of a block take on the statistics of the next map it sees, and compute the same.

    `gamma (x - m) / sqrt(v + eps) + beta` is the same function for every mean and variance, if gamma and beta
    make up for them; then it is, on maps with those statistics, the same in training mode as well.

    Returns:
        Handles of the hooks; remove them once a batch has gone through in evaluation mode.
    """
    inner = {id(part.norm) for part in block.modules() if isinstance(part, InsideBatchNorm2d)}
    return [
        part.register_forward_pre_hook(_restate)
        for part in block.modules()
        if isinstance(part, InsideBatchNorm2d | nn.BatchNorm2d) and id(part) not in inner
    ]


@torch.no_grad()
def _restate(part: nn.Module, inputs: tuple[Tensor]) -> None:
    x, norm = inputs[0], part
    if isinstance(part, InsideBatchNorm2d):
        x, norm = part.inside(x), part.norm
    if not isinstance(norm, _BatchNorm) or norm.running_mean is None or norm.running_var is None:
        return
    variance, mean = torch.var_mean(x, (0, 2, 3))
    if not norm.affine:
        return
    rate = norm.weight / (norm.running_var + norm.eps).sqrt()
    norm.bias.add_(rate * (mean - norm.running_mean))
    norm.weight.copy_(rate * (variance + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def _neutralise(norm: nn.BatchNorm2d) -> None:
    """Make a fresh norm, of mean 0 and variance 1, compute its own input despite its `eps`."""
    norm.weight.fill_(math.sqrt(1 + norm.eps))


def folded(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return a convolution's kernel and bias with its norm inside (the paper's Eq. 2, with its `eps`)."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("a norm without running statistics cannot be folded")  # callers check
    scale = torch.rsqrt(variance + norm.eps)
    if norm.affine:
        scale = scale * norm.weight
    offset = (0 if bias is None else bias) - mean
    shift = scale * offset + (norm.bias if norm.affine else 0)
    return weight * scale[:, None, None, None], shift
