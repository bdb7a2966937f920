"""The blocks that the paper times by themselves: Fig. 2 with Table II, and section II-C's merges.

What the paper leaves open: its Fig. 2 is a picture whose channels the text does not repeat. The channels
here are those whose multiply-accumulates at batch 32, C = 256, 56 px are Table II's "FLOPs" (which are
multiply-accumulates): 118.4, 118.4, 92.1, 111.8, 134.8 against 118.3, 118.4, 92.16, 112.4, 135.04 x 10^9. For
`bottleneck+` that is a 3x3 which widens from C to 2C, not ResNet's own, which widens before it (190.7).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from juggler.models.networks.blocks import conv_norm

CHANNELS, SIDE_PX = 256, 56


class Residual(nn.Module):
    """Add a path and a shortcut, then a ReLU; without a shortcut, only the ReLU.

    Args:
        path: what the block computes.
        shortcut: `nn.Identity()`, a projection, or None for a chain without one.
    """

    def __init__(self, path: nn.Module, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.path, self.shortcut, self.activation = path, shortcut, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', H', W']`."""
        inner: Tensor = self.path(x)
        out: Tensor = self.activation(inner if self.shortcut is None else inner + self.shortcut(x))
        return out


def vgg(c: int = CHANNELS) -> nn.Module:
    """Make Fig. 2 (a): two 3x3 convolutions C to C, each with norm and ReLU."""
    return Residual(nn.Sequential(*conv_norm(c, c, 3), nn.ReLU(), *conv_norm(c, c, 3)), None)


def basicblock(c: int = CHANNELS) -> nn.Module:
    """Make Fig. 2 (b): the same two convolutions, and the input added."""
    return Residual(nn.Sequential(*conv_norm(c, c, 3), nn.ReLU(), *conv_norm(c, c, 3)), nn.Identity())


def basicblock_down(c: int = CHANNELS) -> nn.Module:
    """Make Fig. 2 (c): 3x3 C to 2C of stride 2, 3x3 2C to 2C, and a projection."""
    path = nn.Sequential(*conv_norm(c, 2 * c, 3, 2), nn.ReLU(), *conv_norm(2 * c, 2 * c, 3))
    return Residual(path, conv_norm(c, 2 * c, 1, 2))


def bottleneck(c: int = CHANNELS) -> nn.Module:
    """Make Fig. 2 (d): 1x1 4C to C, 3x3 C to C, 1x1 C to 4C, and the input added."""
    path = nn.Sequential(
        *conv_norm(4 * c, c, 1), nn.ReLU(), *conv_norm(c, c, 3), nn.ReLU(), *conv_norm(c, 4 * c, 1)
    )
    return Residual(path, nn.Identity())


def bottleneck_down(c: int = CHANNELS) -> nn.Module:
    """Make Fig. 2 (e): 1x1 4C to C, 3x3 C to 2C of stride 2, 1x1 2C to 8C, and a projection 4C to 8C."""
    path = nn.Sequential(
        *conv_norm(4 * c, c, 1), nn.ReLU(), *conv_norm(c, 2 * c, 3, 2), nn.ReLU(), *conv_norm(2 * c, 8 * c, 1)
    )
    return Residual(path, conv_norm(4 * c, 8 * c, 1, 2))


BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "vgg": vgg,
    "basicblock": basicblock,
    "basicblock+": basicblock_down,
    "bottleneck": bottleneck,
    "bottleneck+": bottleneck_down,
}
INPUT_CHANNELS = {
    "vgg": CHANNELS,
    "basicblock": CHANNELS,
    "basicblock+": CHANNELS,
    "bottleneck": 4 * CHANNELS,
    "bottleneck+": 4 * CHANNELS,
}


def convolution(kernel: int, channels: int) -> nn.Module:
    """Make one of Table III: a bare convolution that keeps size and channels."""
    return nn.Sequential(nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False))


def mergeable_basicblock(c: int = CHANNELS) -> nn.Module:
    """Make a basicblock that can be merged outright into one 5x5 (section II-C, Fig. 3).

    The inner ReLU is gone, as in the paper, and all padding sits on the first convolution, or the merge
    would be wrong at the border.
    """
    path = nn.Sequential(
        nn.Conv2d(c, c, 3, padding=2, bias=False),
        nn.BatchNorm2d(c),
        nn.Conv2d(c, c, 3, bias=False),
        nn.BatchNorm2d(c),
    )
    return Residual(path, nn.Identity())


def mergeable_bottleneck(c: int = CHANNELS) -> nn.Module:
    """Make a bottleneck that can be merged outright into one 3x3, 4C to 4C, likewise."""
    path = nn.Sequential(
        nn.Conv2d(4 * c, c, 1, padding=1, bias=False),
        nn.BatchNorm2d(c),
        nn.Conv2d(c, c, 3, bias=False),
        nn.BatchNorm2d(c),
        nn.Conv2d(c, 4 * c, 1, bias=False),
        nn.BatchNorm2d(4 * c),
    )
    return Residual(path, nn.Identity())
