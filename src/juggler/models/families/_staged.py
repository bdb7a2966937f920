"""The frame that ResNet, Juggler-ResNet and the plain stack share: stem, four stages, pooled linear head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from juggler.models.blocks import conv_norm, initialise
from juggler.models.families._options import check_choice, check_counts, check_positive, counts, scaled

BLOCK_COUNTS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
STAGE_WIDTHS = (64, 128, 256, 512)
STEMS = ("imagenet", "cifar")

BlockMaker = Callable[[int, int, int], nn.Module]
"""Makes a block from its input channels, its output channels and its stride."""


class Staged(nn.Module):
    """Run a stem, stages of blocks, global average pooling and one linear layer; returns logits.

    The first block of every stage but the first has stride 2. The ImageNet stem is a 7x7 convolution of
    stride 2, norm, ReLU and a 3x3 max-pool of stride 2; the CIFAR stem a 3x3 convolution of stride 1,
    norm and ReLU.

    Args:
        block: makes one block.
        block_counts: blocks of each stage.
        stage_channels: output channels of each stage's blocks.
        stem_channels: output channels of the stem.
        classes: number of logits.
        in_channels: channels of the image.
        stem: `imagenet` or `cifar`.
    """

    def __init__(
        self,
        block: BlockMaker,
        block_counts: Sequence[int],
        stage_channels: Sequence[int],
        *,
        stem_channels: int,
        classes: int,
        in_channels: int,
        stem: str,
    ) -> None:
        super().__init__()
        self.stem = _stem(in_channels, stem_channels, stem)
        stages, channels = [], stem_channels
        for index, (blocks, out_channels) in enumerate(zip(block_counts, stage_channels, strict=True)):
            first = block(channels, out_channels, 1 if index == 0 else 2)
            rest = (block(out_channels, out_channels, 1) for _ in range(blocks - 1))
            stages.append(nn.Sequential(first, *rest))
            channels = out_channels
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(channels, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, in_channels, H, W]` to logits `[n, classes]`."""
        logits: Tensor = self.head(self.flatten(self.pool(self.stages(self.stem(x)))))
        return logits


def _stem(in_channels: int, channels: int, kind: str) -> nn.Sequential:
    if kind == "cifar":
        return nn.Sequential(*conv_norm(in_channels, channels, 3), nn.ReLU())
    return nn.Sequential(
        *conv_norm(in_channels, channels, 7, 2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)
    )


def checked_widths(
    network: str, *, classes: int, in_channels: int, width: float, widths: Sequence[int], stem: str
) -> tuple[int, ...]:
    """Check the options of a staged network and return the widths of its four stages.

    Raises:
        ConfigError: an option has a value that cannot work.
    """
    check_counts(network, classes=classes, in_channels=in_channels)
    check_positive(network, width=width)
    check_choice(network, "stem", stem, STEMS)
    return scaled(counts(network, "widths", widths, length=4), width)
