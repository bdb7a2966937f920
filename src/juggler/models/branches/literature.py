"""The structures whose branches stand side by side: RepVGG, ACNet, Diverse Branch Block, MobileOne."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn

from juggler.models.branches.geometry import Geometry, Size, geometry
from juggler.models.branches.parts import (
    Sum,
    average_norm,
    conv_norm,
    identity_norm,
    point_then_average,
    point_then_kernel,
    start_as_identity,
)

Branches = dict[str, nn.Module | None]


class SideBySide(Sum):
    """Add branches that are built from the numbers of the convolution that they stand for.

    Args:
        in_channels: C.
        out_channels: C'.
        kernel: k, or a pair.
        stride: of all branches.
        padding: half the kernel or more; half of it by default.
        dilation: of all kernels.
        groups: of all kernels.
        norm: whether batch norms stand behind the branches.
        bias: without norms, whether the k x k kernel has a bias.

    Raises:
        ConfigError: a number cannot be one of a convolution's, or one of the branches cannot be built.
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
        norm: bool = True,
        bias: bool = True,
    ) -> None:
        g = geometry(
            f"a {type(self).__name__}",
            (in_channels, out_channels),
            kernel,
            stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            norm=norm,
            bias=bias,
        )
        super().__init__(g, self.branches(g))
        for point in self.identities():
            start_as_identity(point)

    @abstractmethod
    def branches(self, g: Geometry) -> Branches:
        """Return the branches by name, the k x k kernel first; None for one that this shape does not have."""


class RepVGGBlock(SideBySide):
    """Add k x k, 1x1 and, where the shape stays, the input, a norm behind each.

    Source: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again" (CVPR 2021), sections 3.2
    and 3.3, where k is 3. The paper puts a ReLU behind: `nn.Sequential(RepVGGBlock(8, 8), nn.ReLU())`.

    The kernel is odd, more than 1x1, and alone dilated; without norms there is no branch of the input.

    Raises:
        ConfigError: a number cannot be one of a convolution's, or the 1x1 has no place in the kernel.
    """

    def branches(self, g: Geometry) -> Branches:
        """Return the branches by name."""
        g.check_spread()
        g.check_centre()
        return {
            "spatial": conv_norm(g, bias=True),
            "pointwise": conv_norm(g, (1, 1)),
            "identity": identity_norm(g),
        }


class ACBlock(SideBySide):
    """Add k x k, 1 x k and k x 1, a norm behind each.

    Source: Ding et al., "ACNet: Strengthening the Kernel Skeletons for Powerful CNN via Asymmetric
    Convolution Blocks" (ICCV 2019), section 3, where k is 3.

    The kernel is odd, more than 1 both ways.

    Raises:
        ConfigError: a number cannot be one of a convolution's, or the kernel is flat already.
    """

    def branches(self, g: Geometry) -> Branches:
        """Return the branches by name."""
        g.check_asymmetric()
        g.check_centre()
        rows, columns = g.kernel
        return {
            "spatial": conv_norm(g, bias=True),
            "horizontal": conv_norm(g, (1, columns)),
            "vertical": conv_norm(g, (rows, 1)),
        }


class DiverseBranchBlock(SideBySide):
    """Add k x k, 1x1, 1x1 -> k x k and 1x1 -> average over k x k, a norm behind each kernel and each branch.

    Source: Ding et al., "Diverse Branch Block: Building a Convolution as an Inception-like Unit" (CVPR 2021),
    section 3.3 and Fig. 2. Its code pads the map between two kernels with what the norm makes of zero; here
    the first 1x1 pads, which is the same and needs no layer of its own. The 1x1 before the k x k starts as
    the identity, as there. A depthwise block has no 1x1 branch, averages its own input, and is twice as wide
    before the k x k, as in that code.

    The kernel is odd, more than 1x1, its padding exactly half of it for a depthwise block. Dilation is 1, for
    an average has none. Without norms a depthwise block has no average.

    Raises:
        ConfigError: a number cannot be one of a convolution's, or one of the branches cannot be built.
    """

    def branches(self, g: Geometry) -> Branches:
        """Return the branches by name."""
        g.check_spread()
        g.check_centre()
        g.check_average()
        if g.depthwise and g.margin != (0, 0):
            raise g.refused("average pooling pads by half its kernel at most", "Use RepVGGBlock or ACBlock")
        hidden = (2 if g.depthwise else 1) * g.in_channels
        return {
            "spatial": conv_norm(g, bias=True),
            "pointwise": None if g.depthwise else conv_norm(g, (1, 1)),
            "sequence": point_then_kernel(g, hidden),
            "average": average_norm(g) if g.depthwise else point_then_average(g),
        }

    def identities(self) -> tuple[nn.Conv2d, ...]:
        """Return the 1x1 before the k x k, but for depthwise blocks, where it is wider."""
        first = self.get_submodule("sequence.0")
        return (first,) if isinstance(first, nn.Conv2d) and not self.geometry.depthwise else ()


class MobileOneBlock(Sum):
    """Add copies of one k x k kernel, a 1x1 and, where the shape stays, the input, a norm behind each.

    Source: Vasu et al., "MobileOne: An Improved One millisecond Mobile Backbone" (CVPR 2023), section 3.3 and
    Fig. 3. The paper's block is two of these, each with a ReLU: a depthwise one (`groups` = C) and a
    pointwise one (`kernel=1`, whose 1x1 branch is one of the copies already).

    Args:
        in_channels: C.
        out_channels: C'.
        kernel: k, or a pair; odd; 1 for a pointwise block.
        stride: of all kernels.
        padding: half the kernel or more; half of it by default.
        dilation: of the k x k kernels.
        groups: of all kernels.
        copies: how many k x k kernels there are; the paper tries 1 to 5.
        norm: whether batch norms stand behind the branches; without them the copies learn the same.
        bias: without norms, whether the first k x k kernel has a bias.

    Raises:
        ConfigError: a number cannot be one of a convolution's, or the 1x1 has no place in the kernel.
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
        copies: int = 4,
        norm: bool = True,
        bias: bool = True,
    ) -> None:
        g = geometry(
            "a MobileOneBlock",
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
        if isinstance(copies, bool) or not isinstance(copies, int) or copies < 1:
            raise g.refused(f"copies is {copies!r}", "Give a whole number of at least 1")
        branches: Branches = {
            f"copy{number}": conv_norm(g, bias=number == 1) for number in range(1, copies + 1)
        }
        branches["pointwise"] = None if g.pointwise else conv_norm(g, (1, 1))
        branches["identity"] = identity_norm(g)
        super().__init__(g, branches)
