"""Juggler-ResNet's fusible structure: a chain, a shortcut, and what may stand beside them in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from juggler.models.branches.chain import Chain, folded
from juggler.models.branches.geometry import Geometry, Size, geometry, width
from juggler.models.branches.parts import (
    conv_norm,
    identity_norm,
    point_then_average,
    silence,
    start_as_identity,
)

BESIDE: Mapping[str, Callable[[Geometry], nn.Module]] = {
    "spatial": conv_norm,
    "pointwise": lambda g: conv_norm(g, (1, 1)),
    "horizontal": lambda g: conv_norm(g, (1, g.kernel[1])),
    "vertical": lambda g: conv_norm(g, (g.kernel[0], 1)),
    "average": point_then_average,
}
"""The branches that can stand beside the chain and the shortcut, by name."""

IDENTITIES = ("bare", "norm")
STARTS = ("kaiming", "identity")


class FusibleStructure(Chain):
    """Compute Juggler-ResNet's fusible residual structure, without its ReLU: a chain and a shortcut.

    1x1 C -> eC, k x k eC -> eC with the stride, 1x1 eC -> C', a norm behind each; plus the input, or a 1x1
    kernel and a norm of it where the shape changes. Source: Zhu et al., Juggler-ResNet, section III-B and
    Fig. 4, where k is 3. What the paper leaves open is the border: here the padding sits on the first 1x1.

    The last four options are levers of later work, in any combination. They change how the structure
    learns and nothing of what it is once it is flat: one k x k convolution.

    Args:
        in_channels: C.
        out_channels: C'.
        kernel: k, or a pair; odd.
        stride: of the k x k kernel and of the shortcut.
        padding: of the input, half the kernel or more; half of it by default.
        dilation: of the k x k kernel.
        groups: of all kernels.
        expansion: e; the hidden width is `e * C`, but no less than C', so that no output is lost.
        hidden: the hidden width itself, where it should be another.
        norm: whether batch norms stand behind the kernels.
        bias: without norms, whether the last kernel has a bias.
        branches: what is added besides, each with a norm, names of `BESIDE`: `spatial`, k x k, and
            `pointwise`, 1x1 (Ding et al., RepVGG, CVPR 2021, 3.2); `horizontal`, 1 x k, and `vertical`, k x 1
            (Ding et al., ACNet, ICCV 2019, 3); `average`, 1x1 -> average over k x k (Ding et al., Diverse
            Branch Block, CVPR 2021, 3.3).
        identity: what the input passes where the shape stays: nothing (`bare`, the paper's) or a batch norm
            (`norm`; RepVGG, 3.2, whose ablation in 4.2 gains the most by this branch).
            Without norms it is bare.
        start: how the chain's 1x1 kernels start: drawn as all others (`kaiming`), or (`identity`) as the
            identity as far as both sides are as wide, so that training begins near a plain k x k kernel; what
            the hidden maps have beyond that is drawn, and not read yet. The Diverse Branch Block starts the
            1x1 before its k x k so (its section 3.3).
        activations: whether an `AnnealedReLU` stands behind the first and the second norm of the chain; only
            at its share of 1 is the structure linear (Chen et al., VanillaNet, NeurIPS 2023, 3).

    Raises:
        ConfigError: a number cannot be one of a convolution's, the kernel has no centre for the shortcut, or
            an option has no such value or cannot be had with this kernel.
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
        expansion: float = 2.0,
        hidden: int | None = None,
        norm: bool = True,
        bias: bool = True,
        branches: Sequence[str] = (),
        identity: str = "bare",
        start: str = "kaiming",
        activations: bool = False,
    ) -> None:
        g = geometry(
            "a FusibleStructure",
            (in_channels, out_channels),
            kernel,
            stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            norm=norm,
            bias=bias,
        )
        g.check_centre()
        wide = max(width(g.block, in_channels, expansion, groups), out_channels) if hidden is None else hidden
        if wide < 1 or wide % groups:
            raise g.refused(f"hidden is {wide!r}", f"Give a multiple of {groups} groups")
        _check_levers(g, branches, identity, start, activations)
        super().__init__(g, (wide, wide), activations=activations)
        self.shortcut: nn.Module | None
        if g.keeps_shape:
            self.shortcut = identity_norm(g) if identity == "norm" else None
        else:
            self.shortcut = conv_norm(g, (1, 1))
        self.beside = nn.ModuleDict({name: BESIDE[name](g) for name in branches})
        self.start = start
        for point in self.identities():
            start_as_identity(point)

    def linear(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', H', W']`, the shape that the k x k kernel gives."""
        total: Tensor = super().linear(x) + (x if self.shortcut is None else self.shortcut(x))
        for branch in self.beside.values():
            total = total + branch(x)
        return total

    def identities(self) -> tuple[nn.Conv2d, ...]:
        """Return the 1x1 kernels that start as the identity."""
        return (self.expand, self.reduce) if self.start == "identity" else ()

    @torch.no_grad()
    def start_from(self, weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d | None) -> None:
        """Take over a trained convolution as `Chain` does; the chain makes up for a bare shortcut."""
        if norm is not None:
            weight, bias = folded(weight, bias, norm)
        if self.shortcut is None:
            weight = weight - nn.init.dirac_(torch.empty_like(weight), self.geometry.groups)
        super().start_from(weight, bias, None)
        for branch in (self.shortcut, *self.beside.values()):
            if branch is not None:
                silence(branch)


def _check_levers(g: Geometry, branches: Sequence[str], identity: str, start: str, activations: bool) -> None:
    if identity not in IDENTITIES:
        raise g.refused(f"identity is {identity!r}", f"Give one of {', '.join(IDENTITIES)}")
    if start not in STARTS:
        raise g.refused(f"start is {start!r}", f"Give one of {', '.join(STARTS)}")
    if not isinstance(activations, bool):
        raise g.refused(f"activations is {activations!r}", "Give true or false")
    # A word by itself is a sequence too, of letters.
    if not isinstance(branches, list | tuple) or not all(name in (*BESIDE,) for name in branches):
        raise g.refused(f"branches is {branches!r}", f"Give a list of {', '.join(BESIDE)}, or of some")
    if len({*branches}) < len(branches):
        raise g.refused(f"branches is {branches!r}", "Name each branch once")
    if branches:
        g.check_spread()
    if {"horizontal", "vertical"} & {*branches}:
        g.check_asymmetric()
    if "average" in branches:
        g.check_average()
