"""AlexNet (Krizhevsky, 2012) in its one-GPU form, for comparison."""

from __future__ import annotations

from torch import Tensor, nn

from juggler.models.networks.blocks import initialise
from juggler.models.networks.families._options import (
    check_choice,
    check_counts,
    check_positive,
    check_share,
    scaled,
)
from juggler.models.networks.families._staged import STEMS

CHANNELS = (64, 192, 384, 256, 256)
HIDDEN = 4096
POOLED = 6


class AlexNet(nn.Module):
    """Classify images with five convolutions and three linear layers.

    What the paper leaves open: which AlexNet it compares with, and how it was fitted to 32x32 images. Here
    the one-GPU form without local response normalisation, the one torch users know: 61,100,840 parameters
    at 1000 classes. The `cifar` stem makes the first convolution a 3x3 of stride 1 and pools the last map
    to 1x1 before the linear layers.

    Args:
        classes: number of logits.
        in_channels: channels of the image.
        width: multiplies the channels of every convolution and hidden linear layer.
        dropout: share of the units before each hidden linear layer dropped while training.
        stem: `imagenet` or `cifar`, see above.
    """

    def __init__(self, *, classes: int, in_channels: int, width: float, dropout: float, stem: str) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = scaled(CHANNELS, width)
        hidden = scaled([HIDDEN], width)[0]
        imagenet = stem == "imagenet"
        first = nn.Conv2d(in_channels, c1, 11, 4, padding=2) if imagenet else _conv(in_channels, c1, 3)
        self.features = nn.Sequential(
            first,
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            _conv(c1, c2, 5),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            _conv(c2, c3, 3),
            nn.ReLU(),
            _conv(c3, c4, 3),
            nn.ReLU(),
            _conv(c4, c5, 3),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        pooled = POOLED if imagenet else 1
        self.pool = nn.AdaptiveAvgPool2d(pooled)
        self.flatten = nn.Flatten()
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(c5 * pooled * pooled, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, in_channels, H, W]` to logits `[n, classes]`; sides from 63 (`cifar`: 15)."""
        logits: Tensor = self.head(self.flatten(self.pool(self.features(x))))
        return logits


def _conv(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)


def alexnet(
    *,
    classes: int = 10,
    in_channels: int = 3,
    width: float = 1.0,
    dropout: float = 0.5,
    stem: str = "imagenet",
) -> nn.Module:
    """Make an `AlexNet`.

    Raises:
        ConfigError: an option has a value that cannot work.
    """
    check_counts("alexnet", classes=classes, in_channels=in_channels)
    check_positive("alexnet", width=width)
    check_share("alexnet", dropout=dropout)
    check_choice("alexnet", "stem", stem, STEMS)
    return AlexNet(classes=classes, in_channels=in_channels, width=width, dropout=dropout, stem=stem)


FAMILY = {"alexnet": alexnet}
