"""RepVGG's block in the frame of Juggler-ResNet: the same flat network, trained with other branches."""

from __future__ import annotations

from torch import nn

from juggler.models.branches import RepVGGBlock
from juggler.models.networks.families._staged import Staged, StagedOptions, at_all_depths


class RepVGG(Staged):
    """Classify images with one RepVGG block and a ReLU in place of each fusible block.

    A block adds 3x3, 1x1 and, where the shape stays, the input, a norm behind each (Ding et al., "RepVGG:
    Making VGG-style ConvNets Great Again", CVPR 2021, 3.2 and 3.3). Flat, the network computes in the same
    shapes as the Juggler-ResNet and the plain stack of the same depth and widths, so that their accuracies
    compare what is added in training. It is not one of that paper's own networks: those have a first stage
    of stride 2 in place of the stem, other counts of blocks and other widths.

    Args:
        depth: of the Juggler-ResNet that it stands beside.
        options: of the network.
    """

    def __init__(self, depth: int, options: StagedOptions) -> None:
        super().__init__(_block, depth, options)


def _block(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return nn.Sequential(RepVGGBlock(in_channels, out_channels, 3, stride), nn.ReLU())


FAMILY = at_all_depths("repvgg", RepVGG, StagedOptions)
