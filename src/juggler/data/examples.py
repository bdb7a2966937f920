"""Any data set as labelled pictures: what a network is trained on, whatever the set holds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from juggler.data.dataset import DataSet
from juggler.data.encode import Encoder
from juggler.data.pictures import PictureSet, is_pictures


class Examples(NamedTuple):
    """Labelled pictures of one part.

    Attributes:
        images: `[n, C, H, W]`: uint8 pictures as they are, or float32 where records were encoded.
        labels: `[n]`, each the index of its class.
        classes: names of the classes.
    """

    images: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def examples(data_set: DataSet | PictureSet, part: str) -> Examples:
    """Return one part of any data set as pictures with labels.

    Records are encoded by an encoder that is fitted on all training records, with all the features of their
    schema.

    Raises:
        ConfigError: there is no such part.
        DataError: the part is not found or cannot be read.
    """
    if is_pictures(data_set):
        pictures = data_set.load(part)
        return Examples(pictures.images, pictures.labels, pictures.classes)
    records = data_set.load(part)
    encoder = Encoder.fit(data_set.training(), data_set.schema.all_features)
    return Examples(encoder.encode(records), records.classes(), data_set.schema.classes)
