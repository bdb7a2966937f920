"""A small Juggler network for records laid out as images: the detector."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from juggler.errors import ConfigError
from juggler.models.blocks import FusibleBlock, conv_norm, initialise
from juggler.models.families._options import check_choice, check_counts, check_positive, check_share, counts

HEADS = ("flatten", "pool")


class Mix(nn.Module):
    """Map all values of an image to a new image: every value of it depends on all of the record's.

    Args:
        shape: channels, height and width of the image.
        mixed: channels, height and width of the new one.
    """

    def __init__(self, shape: Sequence[int], mixed: Sequence[int]) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(math.prod(shape), math.prod(mixed))
        self.relu = nn.ReLU()
        self.image = nn.Unflatten(1, tuple(mixed))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, *shape]` to `[n, *mixed]`."""
        image: Tensor = self.image(self.relu(self.linear(self.flatten(x))))
        return image


class JugglerTabular(nn.Module):
    """Classify records given as small images: an optional mix, a 3x3 stem, fusible blocks, one linear layer.

    Flat, it is a chain of 3x3 convolutions with ReLU between linear layers.

    What the paper leaves open: everything about its detector; it only cites work that turns NSL-KDD rows
    into images (section V-A) and evaluates on CIFAR. Chosen here: a stem, because a block's hidden width
    is e times its *input* width and one channel would leave it rank 2; strides as an option, because a
    record of a few hundred values is small already; a head that reads every cell (`flatten`), because the
    place of a feature in the image is its meaning, where pooling (`pool`) would average it away; and a
    mix, because features far apart in the grid must meet for a network to follow a tree that tests both.

    Args:
        shape: channels, height and width of the images.
        stages: output channels, blocks and stride of each stage.
        classes: number of logits.
        mix: channels, height and width of the mixed image; empty for no mix.
        expansion: e of the fusible blocks.
        dropout: share of the last layer's inputs dropped while training.
        head: `flatten` or `pool`.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        stages: Sequence[tuple[int, int, int]],
        *,
        classes: int,
        mix: Sequence[int],
        expansion: float,
        dropout: float,
        head: str,
    ) -> None:
        super().__init__()
        in_channels, height, width = mix or shape
        channels = stages[0][0]
        first = [Mix(shape, mix)] if mix else []
        self.stem = nn.Sequential(*first, *conv_norm(in_channels, channels, 3), nn.ReLU())
        layers = []
        for out_channels, count, stride in stages:
            layers.append(FusibleBlock(channels, out_channels, stride, expansion))
            layers.extend(FusibleBlock(out_channels, out_channels, 1, expansion) for _ in range(count - 1))
            channels, height, width = out_channels, -(-height // stride), -(-width // stride)
        self.blocks = nn.Sequential(*layers)
        gather = [nn.AdaptiveAvgPool2d(1)] if head == "pool" else []
        drop = [nn.Dropout(dropout)] if dropout > 0 else []
        inputs = channels if head == "pool" else channels * height * width
        self.head = nn.Sequential(*gather, nn.Flatten(), *drop, nn.Linear(inputs, classes))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map record images `[n, in_channels, H, W]` to logits `[n, classes]`."""
        logits: Tensor = self.head(self.blocks(self.stem(x)))
        return logits


def juggler_tabular(
    *,
    classes: int = 5,
    in_channels: int = 1,
    image_size: Sequence[int] = (11, 11),
    widths: Sequence[int] = (32, 64),
    blocks: Sequence[int] = (2, 2),
    strides: Sequence[int] = (1, 2),
    expansion: float = 2.0,
    dropout: float = 0.0,
    head: str = "flatten",
    mix: Sequence[int] = (),
) -> nn.Module:
    """Make a `JugglerTabular`.

    Args:
        classes: number of logits.
        in_channels: channels of the image.
        image_size: height and width of the image.
        widths: output channels of each stage.
        blocks: fusible blocks of each stage.
        strides: stride of each stage's first block.
        expansion: e of the fusible blocks.
        dropout: share of the linear layers' inputs dropped while training.
        head: `flatten` or `pool`.
        mix: channels, height and width of an image, made first, whose every value depends on all of the
            record's; empty for none.

    Raises:
        ConfigError: an option has a value that cannot work.
    """
    name = "juggler_tabular"
    check_counts(name, classes=classes, in_channels=in_channels)
    check_positive(name, expansion=expansion)
    check_share(name, dropout=dropout)
    check_choice(name, "head", head, HEADS)
    height, width = counts(name, "image_size", image_size, length=2)
    stages = counts(name, "widths", widths)
    for option, values in {"blocks": blocks, "strides": strides}.items():
        if len(counts(name, option, values)) != len(stages):
            raise ConfigError(
                f"create {name}",
                f"{option} has {len(values)} numbers and widths {len(stages)}",
                "Give one of each for every stage",
            )
    return JugglerTabular(
        (in_channels, height, width),
        list(zip(stages, blocks, strides, strict=True)),
        classes=classes,
        mix=counts(name, "mix", mix, length=3) if mix else (),
        expansion=expansion,
        dropout=dropout,
        head=head,
    )


FAMILY = {"juggler_tabular": juggler_tabular}
