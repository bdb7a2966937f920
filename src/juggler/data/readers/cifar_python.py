"""The python form of CIFAR: pickled dictionaries, read without unpickling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from juggler.data.picture_cache import Batch
from juggler.data.readers.cifar_binary import SHAPE
from juggler.errors import DataError
from juggler.reading.pickles import array_of, read_pickle

_LARGEST_LABEL = 1 << 31


@dataclass(frozen=True)
class PythonLayout:
    """Under which keys the dictionaries hold what.

    Attributes:
        labels: key of the list of labels.
        names: key of the list of class names, in the file of names.
    """

    labels: str
    names: str

    def batches(self, content: bytes, origin: str) -> Iterator[Batch]:
        """Yield the pictures of one file.

        Raises:
            DataError: it is no such dictionary, or pictures and labels do not fit together.
        """
        fields = read_pickle(content, origin)
        images = array_of(fields.get("data"), origin)
        labels = fields.get(self.labels)
        are_numbers = isinstance(labels, list) and all(
            type(x) is int and abs(x) < _LARGEST_LABEL for x in labels
        )
        pixels = SHAPE[0] * SHAPE[1] * SHAPE[2]
        if (
            not are_numbers
            or images.dtype != np.uint8
            or images.shape != (len(labels or ()), pixels)
            or not labels
        ):
            raise DataError(
                f"read {origin}",
                f"data {images.dtype} {images.shape}, and {self.labels} "
                f"{f'of {len(labels)}' if isinstance(labels, list) else 'that are no list'}",
                f"Expected uint8 [n, {pixels}] and a list of n whole numbers",
            )
        yield Batch(images.reshape(-1, *SHAPE), np.array(labels, dtype=np.int64))

    def class_names(self, content: bytes, origin: str) -> tuple[str, ...]:
        """Return the names in the file of names.

        Raises:
            DataError: it is no such dictionary.
        """
        names = read_pickle(content, origin).get(self.names)
        if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
            raise DataError(f"read {origin}", f"no list of {self.names}", "Fetch it again")
        return tuple(name.decode("latin-1") if isinstance(name, bytes) else name for name in names)
