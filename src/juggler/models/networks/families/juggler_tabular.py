"""A small Juggler network for records laid out as images: the detector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from juggler.errors import ConfigError
from juggler.models.networks.blocks import conv_norm, initialise
from juggler.models.networks.families._options import (
    FromOptions,
    Levers,
    check_choice,
    check_counts,
    check_positive,
    check_share,
    counts,
)

HEADS = ("flatten", "pool")


@dataclass(frozen=True, kw_only=True)
class TabularOptions(Levers):
    """The options of a `JugglerTabular`, and the levers of its blocks.

    Attributes:
        classes: number of logits.
        in_channels: channels of the image.
        image_size: height and width of the image.
        widths: output channels of each stage.
        blocks: fusible blocks of each stage.
        strides: stride of each stage's first block.
        dropout: share of the last layer's inputs dropped while training.
        head: `flatten` or `pool`.
        mix: channels, height and width of an image, made first, whose every value depends on all of the
            record's; empty for none.
        members: networks of these sizes side by side, whose logits are averaged: what
            `juggler.models.detector.ensemble.join` makes of trained ones.
        novelty: log-odds of an alarm that unlikeness to normal records adds; above 0 the head has the layer
            of `juggler.models.detector.ood_score.with_ood_score`.
    """

    classes: int = 5
    in_channels: int = 1
    image_size: Sequence[int] = (11, 11)
    widths: Sequence[int] = (32, 64)
    blocks: Sequence[int] = (2, 2)
    strides: Sequence[int] = (1, 2)
    dropout: float = 0.0
    head: str = "flatten"
    mix: Sequence[int] = ()
    members: int = 1
    novelty: float = 0.0

    def check(self, network: str) -> None:
        """Refuse a value that cannot work.

        Raises:
            ConfigError: names the option and its value.
        """
        check_counts(network, classes=self.classes, in_channels=self.in_channels, members=self.members)
        super().check(network)
        check_share(network, dropout=self.dropout)
        check_choice(network, "head", self.head, HEADS)
        if self.novelty != 0:
            check_positive(network, novelty=self.novelty)
        counts(network, "image_size", self.image_size, length=2)
        stages = counts(network, "widths", self.widths)
        for option, values in {"blocks": self.blocks, "strides": self.strides}.items():
            if len(counts(network, option, values)) != len(stages):
                raise ConfigError(
                    f"create {network}",
                    f"{option} has {len(values)} numbers and widths {len(stages)}",
                    "Give one of each for every stage",
                )
        if self.mix:
            counts(network, "mix", self.mix, length=3)


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

    Flat, it is a chain of 3x3 convolutions with ReLU between linear layers. With members it is the same
    chain, wider: a convolution has one group a member, and the linear layer at the end reads them all.

    What the paper leaves open: everything about its detector; it only cites work that turns NSL-KDD rows
    into images (section V-A) and evaluates on CIFAR. Chosen here: a stem, because a block's hidden width
    is e times its *input* width and one channel would leave it rank 2; strides as an option, because a
    record of a few hundred values is small already; a head that reads every cell (`flatten`), because the
    place of a feature in the image is its meaning, where pooling (`pool`) would average it away; and a
    mix, because features far apart in the grid must meet for a network to follow a tree that tests both.

    Args:
        options: of the network.
    """

    def __init__(self, options: TabularOptions) -> None:
        super().__init__()
        shape, members = (options.in_channels, *options.image_size), options.members
        in_channels, height, width = options.mix or shape
        channels = members * options.widths[0]
        # Without a mix all members read one image: no groups yet.
        apart = members if options.mix else 1
        first = [Mix(shape, (apart * in_channels, height, width))] if options.mix else []
        stem = conv_norm(apart * in_channels, channels, 3, groups=apart)
        self.stem = nn.Sequential(*first, *stem, nn.ReLU())
        block = partial(options.block, groups=members)
        layers: list[nn.Module] = []
        for each, count, stride in zip(options.widths, options.blocks, options.strides, strict=True):
            layers.append(block(channels, members * each, stride))
            channels, height, width = members * each, -(-height // stride), -(-width // stride)
            layers.extend(block(channels, channels, 1) for _ in range(count - 1))
        self.blocks = nn.Sequential(*layers)
        pool = options.head == "pool"
        gather = [nn.AdaptiveAvgPool2d(1)] if pool else []
        drop = [nn.Dropout(options.dropout)] if options.dropout > 0 else []
        inputs = channels if pool else channels * height * width
        new = [nn.Linear(inputs, 3 * inputs), nn.ReLU()] if options.novelty else []
        last = nn.Linear(3 * inputs if options.novelty else inputs, options.classes)
        self.head = nn.Sequential(*gather, nn.Flatten(), *drop, *new, last)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map record images `[n, in_channels, H, W]` to logits `[n, classes]`."""
        logits: Tensor = self.head(self.blocks(self.stem(x)))
        return logits


FAMILY = {"juggler_tabular": FromOptions("juggler_tabular", TabularOptions, JugglerTabular)}
