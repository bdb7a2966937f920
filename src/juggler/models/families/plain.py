"""The plain stack: the shape of a flat Juggler-ResNet, trained without its branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from juggler.models.blocks import conv_norm
from juggler.models.families._staged import BLOCK_COUNTS, STAGE_WIDTHS, Staged, checked_widths


class Plain(Staged):
    """Classify images with one 3x3 convolution, batch norm and ReLU in place of each fusible block.

    Flat, it computes in the same shapes as the Juggler-ResNet of the same depth and widths, so the
    difference between their accuracies is what the branches were worth in training. The paper has no such
    row: its Fig. 7 drops ReLUs from ResNet instead.
    """

    def __init__(
        self, depth: int, widths: Sequence[int], *, classes: int, in_channels: int, stem: str
    ) -> None:
        super().__init__(
            _block,
            BLOCK_COUNTS[depth],
            widths,
            stem_channels=widths[0],
            classes=classes,
            in_channels=in_channels,
            stem=stem,
        )


def _block(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return nn.Sequential(*conv_norm(in_channels, out_channels, 3, stride), nn.ReLU())


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
        return Plain(depth, stages, classes=classes, in_channels=in_channels, stem=stem)

    return make


FAMILY = {f"plain{depth}": _maker(f"plain{depth}", depth) for depth in BLOCK_COUNTS}
