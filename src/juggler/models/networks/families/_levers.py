"""The options of networks whose blocks are fusible: what changes how they train and nothing they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from juggler.models.networks.blocks import FusibleBlock
from juggler.models.networks.families._options import check_positive


@dataclass(frozen=True, kw_only=True)
class Levers:
    """Say how the fusible blocks of a network train; flat, each is one 3x3 convolution whatever is said here.

    The defaults are the paper's structure. `FusibleStructure` tells each lever's source.

    Attributes:
        expansion: width within a block, beside that of its input.
        branches: what stands beside the chain and the shortcut of a block: any of `spatial`, `pointwise`,
            `horizontal`, `vertical` and `average`.
        identity: what the input of a block passes where it is added: nothing (`bare`) or a batch norm
            (`norm`).
        start: whether the 1x1 kernels of a chain start drawn (`kaiming`) or as the identity (`identity`).
        activations: whether annealed activations stand between the convolutions of a chain; training must
            bring them to 1 (`linear_by` of the recipe) before the network can be flat.
    """

    expansion: float = 2.0
    branches: Sequence[str] = ()
    identity: str = "bare"
    start: str = "kaiming"
    activations: bool = False

    def check(self, network: str) -> None:
        """Refuse an expansion that cannot work; what else is wrong the first block refuses.

        Raises:
            ConfigError: names the option and its value.
        """
        check_positive(network, expansion=self.expansion)

    @property
    def block(self) -> partial[FusibleBlock]:
        """Return what makes a block from its input channels, its output channels and its stride."""
        return partial(
            FusibleBlock,
            expansion=self.expansion,
            branches=self.branches,
            identity=self.identity,
            start=self.start,
            activations=self.activations,
        )
