"""The binary form of CIFAR: rows of one or two label bytes and 3072 bytes of a picture, red, green, blue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from juggler.data.picture_cache import Batch
from juggler.errors import DataError

SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class BinaryLayout:
    """Where a row has its label.

    Attributes:
        label_bytes: label bytes before the picture.
        label_at: which of them is the label, from 0.
    """

    label_bytes: int
    label_at: int

    def batches(self, content: bytes, origin: str) -> Iterator[Batch]:
        """Yield the pictures of one file.

        Raises:
            DataError: it is empty, or not a whole number of rows.
        """
        row_bytes = self.label_bytes + _PIXELS
        if not content or len(content) % row_bytes:
            raise DataError(
                f"read {origin}",
                f"{len(content)} bytes, and a picture has {row_bytes}",
                "It was cut short, or is of another data set: fetch it again",
            )
        rows = np.frombuffer(content, dtype=np.uint8).reshape(-1, row_bytes)
        images = rows[:, self.label_bytes :].reshape(-1, *SHAPE)
        yield Batch(images, rows[:, self.label_at].astype(np.int64))

    def class_names(self, content: bytes, origin: str) -> tuple[str, ...]:
        """Return the names in the file of names, one a line.

        Raises:
            DataError: it is no text.
        """
        try:
            return tuple(content.decode("ascii").split())
        except UnicodeDecodeError as error:
            raise DataError(
                f"read the class names in {origin}", f"no text ({error.reason})", "Fetch it again"
            ) from error
