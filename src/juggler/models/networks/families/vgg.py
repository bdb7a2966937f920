"""VGG-16 (Simonyan and Zisserman, 2014), with or without batch norm, for comparison."""

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

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HIDDEN = 4096
POOLED = 7


class VGG16(nn.Module):
    """Classify images with thirteen 3x3 convolutions and three linear layers.

    What the paper leaves open: which VGG its Table I and section IV mean, with batch norm or without, and
    how it was fitted to 32x32 images. Here depth 16; `norm=False` has the published 138,357,544 parameters
    at 1000 classes. The `cifar` stem leaves the convolutions as they are (they are 3x3 of stride 1
    already; a 32x32 image ends at 1x1) and has one linear layer in place of the two of 4096, which would
    hold nine tenths of the weights.

    Args:
        classes: number of logits.
        in_channels: channels of the image.
        width: multiplies the channels of every convolution and hidden linear layer.
        norm: whether a batch norm follows each convolution.
        dropout: share of the hidden linear layers' units dropped while training.
        stem: `imagenet` or `cifar`, see above.
    """

    def __init__(
        self, *, classes: int, in_channels: int, width: float, norm: bool, dropout: float, stem: str
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for stage in STAGES:
            for out_channels in scaled(stage, width):
                layers.append(nn.Conv2d(channels, out_channels, 3, padding=1, bias=not norm))
                layers.extend([nn.BatchNorm2d(out_channels), nn.ReLU()] if norm else [nn.ReLU()])
                channels = out_channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(POOLED if stem == "imagenet" else 1)
        self.flatten = nn.Flatten()
        self.head = _head(channels, scaled([HIDDEN], width)[0], classes, dropout, stem)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, in_channels, H, W]`, H and W at least 32, to logits `[n, classes]`."""
        logits: Tensor = self.head(self.flatten(self.pool(self.features(x))))
        return logits


def _head(channels: int, hidden: int, classes: int, dropout: float, stem: str) -> nn.Module:
    if stem == "cifar":
        return nn.Linear(channels, classes)
    return nn.Sequential(
        nn.Linear(channels * POOLED * POOLED, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, classes),
    )


def vgg16(
    *,
    classes: int = 10,
    in_channels: int = 3,
    width: float = 1.0,
    norm: bool = False,
    dropout: float = 0.5,
    stem: str = "imagenet",
) -> nn.Module:
    """Make a `VGG16`.

    Raises:
        ConfigError: an option has a value that cannot work.
    """
    check_counts("vgg16", classes=classes, in_channels=in_channels)
    check_positive("vgg16", width=width)
    check_share("vgg16", dropout=dropout)
    check_choice("vgg16", "stem", stem, STEMS)
    return VGG16(
        classes=classes, in_channels=in_channels, width=width, norm=bool(norm), dropout=dropout, stem=stem
    )


FAMILY = {"vgg16": vgg16}
