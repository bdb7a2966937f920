"""ResNet-18, 34, 50, 101 and 152 (He et al., 2016), the networks that the paper compares itself with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from juggler.models.networks.blocks import BasicBlock, Bottleneck
from juggler.models.networks.families._options import check_switch
from juggler.models.networks.families._staged import Staged, StagedOptions, at_all_depths


@dataclass(frozen=True, kw_only=True)
class ResNetOptions(StagedOptions):
    """The options of a ResNet.

    Attributes:
        inner_activations: whether there are ReLUs between the convolutions of a block. Without them, the
            ReLU behind the addition staying, it is what the paper's Fig. 7 calls `ResNet-`.
    """

    inner_activations: bool = True

    def check(self, network: str) -> None:
        """Refuse a value that cannot work.

        Raises:
            ConfigError: names the option and its value.
        """
        super().check(network)
        check_switch(network, inner_activations=self.inner_activations)


class ResNet(Staged):
    """Classify images with the ResNet of a depth, in the form known as v1.5.

    What the paper leaves open: its `resnet50` trains on CIFAR, but it does not say with which stem; both
    are here (`stem="cifar"` for 32x32 images). Depths up to 34 use `BasicBlock`, deeper ones `Bottleneck`,
    whose output is four times as wide as the stage's base width; its stride sits on the 3x3.

    Args:
        depth: 18, 34, 50, 101 or 152.
        options: of the network.
    """

    def __init__(self, depth: int, options: ResNetOptions) -> None:
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock if depth < 50 else Bottleneck
        super().__init__(
            partial(block, inner_activation=options.inner_activations),
            depth,
            options,
            growth=1 if depth < 50 else Bottleneck.narrowing,
        )


FAMILY = at_all_depths("resnet", ResNet, ResNetOptions)
