"""ResNet-18, 34, 50, 101 and 152 (He et al., 2016), the networks that the paper compares itself with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from juggler.models.blocks import BasicBlock, Bottleneck
from juggler.models.families._staged import BLOCK_COUNTS, STAGE_WIDTHS, Staged, checked_widths


class ResNet(Staged):
    """Classify images with the ResNet of a depth, in the form known as v1.5.

    What the paper leaves open: its `resnet50` trains on CIFAR, but it does not say with which stem; both
    are here (`stem="cifar"` for 32x32 images). Depths up to 34 use `BasicBlock`, deeper ones `Bottleneck`,
    whose output is four times as wide as the stage's base width; its stride sits on the 3x3.
    """

    def __init__(
        self, depth: int, widths: Sequence[int], *, classes: int, in_channels: int, stem: str
    ) -> None:
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock if depth < 50 else Bottleneck
        growth = 1 if block is BasicBlock else Bottleneck.narrowing
        super().__init__(
            block,
            BLOCK_COUNTS[depth],
            [channels * growth for channels in widths],
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
        stem: str = "imagenet",
    ) -> nn.Module:
        stages = checked_widths(
            name, classes=classes, in_channels=in_channels, width=width, widths=widths, stem=stem
        )
        return ResNet(depth, stages, classes=classes, in_channels=in_channels, stem=stem)

    return make


FAMILY = {f"resnet{depth}": _maker(f"resnet{depth}", depth) for depth in BLOCK_COUNTS}
