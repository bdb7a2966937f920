"""Standardise pictures: each channel to mean 0 and standard deviation 1 over the training pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from juggler.data.pictures import TrainPictures
from juggler.errors import ConfigError, DataError
from juggler.nouns import Noun

_VALUES = np.arange(256)
_PIXELS_AT_ONCE = 1 << 22  # a batch to count stays small, whatever the size of the pictures


@dataclass(frozen=True)
class Standard(Noun):
    """How uint8 pictures become numbers around 0: `(x / 255 - mean) / sd`, channel by channel.

    Attributes:
        mean: mean of each channel, where 0 is black and 1 is full.
        sd: standard deviation of each channel on the same scale, above 0.
    """

    mean: tuple[float, ...]
    sd: tuple[float, ...]

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (*self.mean, *self.sd)))
        if not finite or not self.mean or len(self.mean) != len(self.sd) or min(self.sd) <= 0:
            raise ConfigError(
                "make a standard of pictures",
                f"mean {self.mean}, standard deviation {self.sd}",
                "Give one finite number a channel of each, the deviations above 0",
            )

    @classmethod
    def fit(cls, train: TrainPictures) -> Standard:
        """Fit a standard on training pictures and on nothing else; the sums are exact.

        A channel that never changes gets the deviation 1, so that it becomes 0.

        Raises:
            ConfigError: the pictures are not TrainPictures.
            DataError: there is not one pixel.
        """
        if not isinstance(train, TrainPictures):
            raise ConfigError(
                "fit a standard",
                f"{type(train).__name__} from {getattr(train, 'source', 'somewhere')}",
                "Fit on PictureSet.training() or its split only, which are TrainPictures",
            )
        counts = _histograms(train.images)
        if not counts.size or not counts[0].any():
            raise DataError(f"fit a standard on {train.source}", "no pixels", "Give pictures to train on")
        totals = counts.sum(axis=1)
        mean = (counts * _VALUES).sum(axis=1) / totals
        square = (counts * (_VALUES - mean[:, None]) ** 2).sum(axis=1) / totals
        sd = np.sqrt(square)
        sd[sd == 0] = 255
        return cls(tuple((mean / 255).tolist()), tuple((sd / 255).tolist()))

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the pictures `[n, C, H, W]` as float32, standardised.

        Raises:
            DataError: they are not uint8 with as many channels as the standard has.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != len(self.mean):
            raise DataError(
                f"standardise pictures of {len(self.mean)} channels",
                f"{images.dtype} {images.shape}",
                "Give uint8 [n, C, H, W], as they were decoded",
            )
        mean, sd = np.array(self.mean)[:, None], np.array(self.sd)[:, None]
        tables = ((_VALUES / 255 - mean) / sd).astype(np.float32)  # a pixel has only 256 values
        out = np.empty(images.shape, dtype=np.float32)
        for channel, table in enumerate(tables):
            out[:, channel] = table[images[:, channel]]
        return out


def _histograms(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the values of each channel, `[C, 256]`."""
    n, channels, height, width = images.shape
    counts = np.zeros((channels, 256), dtype=np.int64)
    step = max(1, _PIXELS_AT_ONCE // max(1, height * width))
    for start in range(0, n, step):
        for channel in range(channels):
            counts[channel] += np.bincount(images[start : start + step, channel].ravel(), minlength=256)
    return counts
