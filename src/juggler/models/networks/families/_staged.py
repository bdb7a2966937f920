"""The frame that ResNet, Juggler-ResNet and the plain stacks share: stem, four stages, pooled linear head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from torch import Tensor, nn

from juggler.models.networks.blocks import conv_norm, initialise
from juggler.models.networks.families._options import (
    FromOptions,
    check_choice,
    check_counts,
    check_positive,
    counts,
    scaled,
)

BLOCK_COUNTS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
STAGE_WIDTHS = (64, 128, 256, 512)
STEMS = ("imagenet", "cifar")
SHRINKS = ("stride", "pool")

BlockMaker = Callable[[int, int, int], nn.Module]
"""Makes a block from its input channels, its output channels and its stride."""


@dataclass(frozen=True, kw_only=True)
class StagedOptions:
    """The options of every staged network.

    Attributes:
        classes: number of logits.
        in_channels: channels of the image.
        width: multiplies `widths`.
        widths: channels of the four stages; the first are the stem's as well.
        blocks: of each of the four stages; empty for as many as the depth says.
        shrink: how the image is halved before every stage but the first, see `Staged`: `stride` or `pool`.
        stem: `imagenet` or `cifar`, see `Staged`.
    """

    classes: int = 10
    in_channels: int = 3
    width: float = 1.0
    widths: Sequence[int] = STAGE_WIDTHS
    blocks: Sequence[int] = ()
    shrink: str = "stride"
    stem: str = "imagenet"

    def check(self, network: str) -> None:
        """Refuse a value that cannot work.

        Raises:
            ConfigError: names the option and its value.
        """
        check_counts(network, classes=self.classes, in_channels=self.in_channels)
        check_positive(network, width=self.width)
        check_choice(network, "stem", self.stem, STEMS)
        check_choice(network, "shrink", self.shrink, SHRINKS)
        counts(network, "widths", self.widths, length=4)
        if self.blocks not in ((), []):
            counts(network, "blocks", self.blocks, length=4)

    @property
    def channels(self) -> tuple[int, ...]:
        """Return the channels of the four stages."""
        return scaled(self.widths, self.width)


class Staged(nn.Module):
    """Run a stem, stages of blocks, global average pooling and one linear layer; returns logits.

    Every stage but the first halves the image, to `ceil(H / 2)`: its first block has stride 2, or, as in VGG,
    stands behind a 2x2 max-pool. The ImageNet stem is a 7x7 convolution of stride 2, norm, ReLU and a 3x3
    max-pool of stride 2; the CIFAR stem a 3x3 convolution of stride 1, norm and ReLU.

    Args:
        block: makes one block.
        depth: 18, 34, 50, 101 or 152, which says how many blocks each stage has where the options do not.
        options: of the network.
        growth: output channels of a stage's blocks beside the stage's channels.
    """

    def __init__(self, block: BlockMaker, depth: int, options: StagedOptions, *, growth: int = 1) -> None:
        super().__init__()
        channels = options.channels[0]
        self.stem = _stem(options.in_channels, channels, options.stem)
        pooled = options.shrink == "pool"
        stages = []
        for index, (blocks, width) in enumerate(
            zip(options.blocks or BLOCK_COUNTS[depth], options.channels, strict=True)
        ):
            out_channels = width * growth
            halved = [nn.MaxPool2d(2, ceil_mode=True)] if index and pooled else []
            first = block(channels, out_channels, 2 if index and not pooled else 1)
            rest = (block(out_channels, out_channels, 1) for _ in range(blocks - 1))
            stages.append(nn.Sequential(*halved, first, *rest))
            channels = out_channels
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(channels, options.classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, in_channels, H, W]` to logits `[n, classes]`."""
        logits: Tensor = self.head(self.flatten(self.pool(self.stages(self.stem(x)))))
        return logits


Chosen = TypeVar("Chosen", bound=StagedOptions)


def at_all_depths(
    family: str, network: Callable[[int, Chosen], nn.Module], options: Callable[..., Chosen]
) -> dict[str, FromOptions[Chosen]]:
    """Return the makers of a family by name, one a depth: `resnet18` to `resnet152`.

    Args:
        family: what the names begin with.
        network: makes a network from its depth and its options.
        options: makes those from keywords.
    """
    names = {f"{family}{depth}": depth for depth in BLOCK_COUNTS}
    return {name: FromOptions(name, options, partial(network, depth)) for name, depth in names.items()}


def _stem(in_channels: int, channels: int, kind: str) -> nn.Sequential:
    if kind == "cifar":
        return nn.Sequential(*conv_norm(in_channels, channels, 3), nn.ReLU())
    return nn.Sequential(
        *conv_norm(in_channels, channels, 7, 2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)
    )
