"""Decode pictures with Pillow; what is broken, too large or of no picture's kind is refused by its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from juggler.errors import DataError
from juggler.reading.pictures import open_picture
from juggler.reading.request import Request

if TYPE_CHECKING:
    from PIL import Image

Item = TypeVar("Item")

_JPEG = b"\xff\xd8\xff"
_WORKERS = 8


def is_jpeg(content: bytes) -> bool:
    """Say whether a picture is JPEG-compressed, by its first bytes, whatever its name is."""
    return content.startswith(_JPEG)


def rgb(content: bytes, name: str) -> NDArray[np.uint8]:
    """Return a picture as it is, `[3, height, width]`.

    Raises:
        DataError: it is no JPEG, PNG, WebP or BMP, broken, deeper than 8 bits, or larger than Pillow allows.
        Unavailable: Pillow is not installed.
    """
    return _array(_opened(content, name))


def square(content: bytes, name: str, size: int) -> NDArray[np.uint8]:
    """Return a picture upright, its short side resized to `size` and its middle taken, `[3, size, size]`.

    Raises:
        DataError, Unavailable: as `rgb`.
    """
    image = _opened(content, name, upright=True)
    from PIL import ImageOps  # noqa: PLC0415  # opened, so it is there

    return _array(ImageOps.fit(image, (size, size)))


def in_parallel(
    work: Callable[[Item], NDArray[np.uint8]], items: Sequence[Item], at_once: int = 256
) -> Iterator[NDArray[np.uint8]]:
    """Yield what `work` makes of the items, stacked, `at_once` at a time and in order.

    Pillow decodes and resizes large pictures without holding the interpreter, so threads help.
    """
    with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as pool:
        for start in range(0, len(items), at_once):
            yield np.stack([*pool.map(work, items[start : start + at_once])])


def _opened(content: bytes, name: str, *, upright: bool = False) -> Image.Image:
    remedy = "Replace it by a JPEG, PNG, WebP or BMP of 8 bits a channel, or take it away"
    return open_picture(content, Request(f"decode {name}", remedy, DataError), upright=upright)


def _array(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)
