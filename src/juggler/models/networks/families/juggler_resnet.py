"""Juggler-ResNet at five depths: wide while it trains, a chain of 3x3 convolutions once it is flat."""

from __future__ import annotations

from dataclasses import dataclass

from juggler.models.networks.families._options import Levers
from juggler.models.networks.families._staged import Staged, StagedOptions, at_all_depths


@dataclass(frozen=True, kw_only=True)
class JugglerResNetOptions(Levers, StagedOptions):
    """The options of a staged network, and the levers of its blocks."""

    def check(self, network: str) -> None:
        """Refuse a value that cannot work.

        Raises:
            ConfigError: names the option and its value.
        """
        StagedOptions.check(self, network)
        Levers.check(self, network)


class JugglerResNet(Staged):
    """Classify images with the paper's network (section III-B): every block is a `FusibleBlock`.

    What the paper leaves open, and what was chosen:

    - Which widths. Its Table V has J-ResNet34 and J-ResNet50 within noise of each other, both with
      [3, 4, 6, 3] blocks, and its speed-ups fit one flat 3x3 convolution of the stage's base width
      (64, 128, 256, 512) a block. So there is no fourfold growth at depths 50 and above, and depths 34 and
      50 are the same network; `widths` and `width` say otherwise where that is wanted. ("About 1.12 times
      the parameters" fits no count that was tried.)
    - The hidden width where the shape changes: e times the block's *input* width, as in Fig. 4.
    - The border, see `FusibleBlock`.
    - The stem, which stays a convolution with norm and ReLU and needs no branches: `imagenet` or `cifar`.

    Args:
        depth: 18, 34, 50, 101 or 152.
        options: of the network.
    """

    def __init__(self, depth: int, options: JugglerResNetOptions) -> None:
        super().__init__(options.block, depth, options)


FAMILY = at_all_depths("juggler_resnet", JugglerResNet, JugglerResNetOptions)
