"""Juggler-ResNet at five depths: wide while it trains, a chain of 3x3 convolutions once it is flat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from juggler.models.blocks import FusibleBlock
from juggler.models.families._options import check_positive
from juggler.models.families._staged import BLOCK_COUNTS, STAGE_WIDTHS, Staged, checked_widths


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
    """

    def __init__(
        self,
        depth: int,
        widths: Sequence[int],
        *,
        classes: int,
        in_channels: int,
        expansion: float,
        stem: str,
    ) -> None:
        super().__init__(
            partial(FusibleBlock, expansion=expansion),
            BLOCK_COUNTS[depth],
            widths,
            stem_channels=widths[0],
            classes=classes,
            in_channels=in_channels,
            stem=stem,
        )


def _maker(name: str, depth: int) -> Callable[..., nn.Module]:
    def make(
        *,
        classes: int = 10,
        in_channels: int = 3,
        width: float = 1.0,
        widths: Sequence[int] = STAGE_WIDTHS,
        expansion: float = 2.0,
        stem: str = "imagenet",
    ) -> nn.Module:
        stages = checked_widths(
            name, classes=classes, in_channels=in_channels, width=width, widths=widths, stem=stem
        )
        check_positive(name, expansion=expansion)
        return JugglerResNet(
            depth, stages, classes=classes, in_channels=in_channels, expansion=expansion, stem=stem
        )

    return make


FAMILY = {f"juggler_resnet{depth}": _maker(f"juggler_resnet{depth}", depth) for depth in BLOCK_COUNTS}
