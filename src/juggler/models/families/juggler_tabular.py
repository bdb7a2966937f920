"""A small Juggler network for records laid out as images: the detector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from juggler.errors import ConfigError
from juggler.models.blocks import FusibleBlock, conv_norm, initialise
from juggler.models.families._options import check_choice, check_counts, check_positive, check_share, counts

HEADS = ("flatten", "pool")
TOWERS = ("plain", "mixed")


class Mix(nn.Module):
    """Map all values of an image to a new image of the same size: every feature beside every other.

    Args:
        shape: channels, height and width of the image.
        channels: channels of the new one.
    """

    def __init__(self, shape: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        in_channels, height, width = shape
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(in_channels * height * width, channels * height * width)
        self.image = nn.Unflatten(1, (channels, height, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, in_channels, H, W]` to `[n, channels, H, W]`."""
        image: Tensor = self.image(self.linear(self.flatten(x)))
        return image


class Tower(nn.Module):
    """Classify record images: a 3x3 stem, stages of fusible blocks, one linear layer."""

    def __init__(
        self,
        kind: str,
        shape: tuple[int, int, int],
        stages: Sequence[tuple[int, int, int]],
        *,
        classes: int,
        expansion: float,
        dropout: float,
        head: str,
    ) -> None:
        super().__init__()
        in_channels, height, width = shape
        channels = stages[0][0]
        mix = [Mix(shape, in_channels)] if kind == "mixed" else []
        self.stem = nn.Sequential(*mix, *conv_norm(in_channels, channels, 3), nn.ReLU())
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

    def forward(self, x: Tensor) -> Tensor:
        """Map record images `[n, in_channels, H, W]` to logits `[n, classes]`."""
        logits: Tensor = self.head(self.blocks(self.stem(x)))
        return logits


class JugglerTabular(nn.Module):
    """Classify records given as small images, by the mean logits of a few towers.

    Flat, each tower is a chain of 3x3 convolutions with ReLU and one linear layer. A `plain` tower reads
    the image as it is; a `mixed` one first maps all of its values to a new image, so that features far
    apart in the grid meet at once. While training the towers are returned side by side, `[n, classes,
    towers]`, so that each learns by its own loss, as if alone; in evaluation mode their mean is returned.

    What the paper leaves open: everything about its detector; it only cites work that turns NSL-KDD rows
    into images (section V-A) and evaluates on CIFAR. Chosen here: a stem, because a block's hidden width
    is e times its *input* width and one channel would leave it rank 2; strides as an option, because a
    record of a hundred values is small already; a head that reads every cell (`flatten`), because the
    place of a feature in the image is its meaning, where pooling (`pool`) would average it away; and
    towers that differ, because their mean ranks attack types that none of them met better than either
    (docs/numbers.md).

    Args:
        towers: the towers, see `Tower`.
    """

    def __init__(self, towers: Sequence[Tower]) -> None:
        super().__init__()
        self.towers = nn.ModuleList(towers)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map record images `[n, in_channels, H, W]` to logits, `[n, classes]` in evaluation mode."""
        logits: list[Tensor] = [tower(x) for tower in self.towers]
        if self.training and len(logits) > 1:
            return torch.stack(logits, dim=2)
        total = logits[0]
        for other in logits[1:]:
            total = total + other
        return total if len(logits) == 1 else total * (1.0 / len(logits))


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
    towers: Sequence[str] = ("plain",),
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
        towers: `plain` or `mixed`, one word a tower.

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
    for kind in towers:
        check_choice(name, "towers", kind, TOWERS)
    if not towers:
        raise ConfigError(f"create {name}", "no towers", f"Give at least one of {', '.join(TOWERS)}")
    shape, options = (in_channels, height, width), {"expansion": expansion, "dropout": dropout}
    plan = list(zip(stages, blocks, strides, strict=True))
    return JugglerTabular(
        [Tower(kind, shape, plan, classes=classes, head=head, **options) for kind in towers]
    )


FAMILY = {"juggler_tabular": juggler_tabular}
