"""The plain stack: the shape of a flat Juggler-ResNet, trained without its branches."""

from __future__ import annotations

from torch import nn

from juggler.models.networks.blocks import conv_norm
from juggler.models.networks.families._staged import Staged, StagedOptions, at_all_depths


class Plain(Staged):
    """Classify images with one 3x3 convolution, batch norm and ReLU in place of each fusible block.

    Flat, it computes in the same shapes as the Juggler-ResNet of the same depth and widths, so the
    difference between their accuracies is what the branches were worth in training. The paper has no such
    row: its Fig. 7 drops ReLUs from ResNet instead.

    Args:
        depth: of the Juggler-ResNet that it stands beside.
        options: of the network.
    """

    def __init__(self, depth: int, options: StagedOptions) -> None:
        super().__init__(_block, depth, options)


def _block(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return nn.Sequential(*conv_norm(in_channels, out_channels, 3, stride), nn.ReLU())


FAMILY = at_all_depths("plain", Plain, StagedOptions)
