"""The blocks that wide networks are built of, and how their weights start.

A fusible block is made so that the three operators of the paper (section III-C) turn it into one 3x3
convolution exactly, at the border of the map as well as inside: it pads first. `BasicBlock` and
`Bottleneck` are ResNet's own, for comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from juggler.models.branches import Branched, FusibleStructure, start_as_identity
from juggler.models.layers.inside_norm import InsideBatchNorm2d

__all__ = ["BasicBlock", "Bottleneck", "FusibleBlock", "InsideBatchNorm2d", "conv_norm", "initialise"]


def conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, *, groups: int = 1
) -> nn.Sequential:
    """Return a bias-free convolution, padded to keep the size at stride 1, and its batch norm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """Return the projection that a change of shape needs; `None` where the identity will do."""
    if stride == 1 and in_channels == out_channels:
        return None
    return conv_norm(in_channels, out_channels, 1, stride)


class FusibleBlock(FusibleStructure):
    """Compute the paper's fusible residual structure (section III-B, Fig. 4), its ReLU included.

    1x1 C -> eC, norm, 3x3 eC -> eC with the stride, norm, 1x1 eC -> C', norm; plus the input, or a 1x1
    convolution and a norm of it where the shape changes; one ReLU at the end. It flattens into one 3x3
    convolution C -> C' with bias and a ReLU, whatever the other options add while it trains.

    What the paper leaves open: at the border. Batch norm makes the map between the first 1x1 and the 3x3
    non-zero outside the image, where the 3x3's zero padding says 0, so that the paper's Eq. 5-7 do not
    hold there. Here the padding sits on the first convolution and the 3x3 has none; then they hold
    everywhere, for every size and stride.

    Args:
        in_channels: C.
        out_channels: C'.
        stride: stride of the 3x3 and of the shortcut.
        expansion: e; the hidden width is `round(e * C)`, at least 1; in each group by itself.
        groups: of all kernels; blocks side by side that know nothing of each other.
        branches: further branches, see `FusibleStructure`, as for those below.
        identity: `bare` or `norm`.
        start: `kaiming` or `identity`.
        activations: whether annealed activations stand between the three convolutions.

    Raises:
        ConfigError: an option has a value that cannot work.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        expansion: float = 2.0,
        *,
        groups: int = 1,
        branches: Sequence[str] = (),
        identity: str = "bare",
        start: str = "kaiming",
        activations: bool = False,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            3,
            stride,
            groups=groups,
            hidden=groups * max(1, round(expansion * in_channels / groups)),
            branches=branches,
            identity=identity,
            start=start,
            activations=activations,
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', ceil(H / stride), ceil(W / stride)]`."""
        out: Tensor = self.activation(self.linear(x))
        return out


class BasicBlock(nn.Module):
    """Compute ResNet's two-convolution block: 3x3, norm, ReLU, 3x3, norm, add, ReLU (He et al., 2016).

    Args:
        in_channels: C.
        out_channels: C'.
        stride: stride of the first 3x3 and of the shortcut.
        inner_activation: whether there is a ReLU between the two convolutions; there is always one at the
            end. Without the inner one it is the paper's `ResNet-` (Fig. 7).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, *, inner_activation: bool = True
    ) -> None:
        super().__init__()
        self.first = conv_norm(in_channels, out_channels, 3, stride)
        self.second = conv_norm(out_channels, out_channels, 3)
        self.shortcut = _shortcut(in_channels, out_channels, stride)
        self.activation = nn.ReLU()
        self.inner_activation = inner_activation

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', ceil(H / stride), ceil(W / stride)]`."""
        inner = self.first(x)
        if self.inner_activation:
            inner = self.activation(inner)
        out: Tensor = self.activation(self.second(inner) + (x if self.shortcut is None else self.shortcut(x)))
        return out


class Bottleneck(nn.Module):
    """Compute ResNet's bottleneck: 1x1 to a quarter of the output's width, 3x3, 1x1, add, ReLU.

    The stride sits on the 3x3, as in the form known as v1.5, not on the first 1x1 as in He et al.

    Args:
        in_channels: C.
        out_channels: C'.
        stride: stride of the 3x3 and of the shortcut.
        inner_activation: whether there are ReLUs between the three convolutions, as for `BasicBlock`.
    """

    narrowing = 4

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, *, inner_activation: bool = True
    ) -> None:
        super().__init__()
        narrow = max(1, out_channels // self.narrowing)
        self.reduce = conv_norm(in_channels, narrow, 1)
        self.spatial = conv_norm(narrow, narrow, 3, stride)
        self.expand = conv_norm(narrow, out_channels, 1)
        self.shortcut = _shortcut(in_channels, out_channels, stride)
        self.activation = nn.ReLU()
        self.inner_activation = inner_activation

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', ceil(H / stride), ceil(W / stride)]`."""
        inner = x
        for part in (self.reduce, self.spatial):
            inner = self.activation(part(inner)) if self.inner_activation else part(inner)
        out: Tensor = self.activation(self.expand(inner) + (x if self.shortcut is None else self.shortcut(x)))
        return out


def initialise(module: nn.Module) -> None:
    """Draw the convolutions' weights anew, in place: normal, Kaiming, `fan_out`, gain of ReLU; biases 0.

    Batch norms start as the identity and linear layers as torch makes them. The paper does not say how it
    starts; this is what ResNet's common implementations do. Draws come from torch's global generator. Where
    a block of branches says that a 1x1 kernel starts as the identity, it does.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, Branched):
            for kernel in part.identities():
                start_as_identity(kernel)
