"""Decode pictures with Pillow; what is broken, too large or of no picture's kind is refused by its name."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from juggler.errors import DataError, Unavailable
from juggler.extras import install_command

if TYPE_CHECKING:
    from PIL import Image

Item = TypeVar("Item")

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # Pillow reads stranger ones too, some by starting other programs
_JPEG = b"\xff\xd8\xff"
_DEEP = ("I", "F")  # more than eight bits a channel, which Pillow would clip
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, struct.error)
_WORKERS = 8
_AT_ONCE = 256


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
    work: Callable[[Item], NDArray[np.uint8]], items: Sequence[Item]
) -> Iterator[NDArray[np.uint8]]:
    """Yield what `work` makes of the items, stacked, some hundreds at a time and in order.

    Pillow decodes and resizes large pictures without holding the interpreter, so threads help.
    """
    with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as pool:
        for start in range(0, len(items), _AT_ONCE):
            yield np.stack([*pool.map(work, items[start : start + _AT_ONCE])])


def _opened(content: bytes, name: str, *, upright: bool = False) -> Image.Image:
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415  # the base install detects without it
    except ImportError as error:
        raise Unavailable(
            "decode pictures", f"Pillow is not installed ({error})", install_command("train")
        ) from error
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            most = Image.MAX_IMAGE_PIXELS
            if most is not None and image.width * image.height > most:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            if image.mode.startswith(_DEEP):
                raise ValueError(f"mode {image.mode}: more than 8 bits a channel")
            image.load()
            if upright:
                ImageOps.exif_transpose(image, in_place=True)
            # A palette with transparent entries goes through RGBA, as Pillow asks.
            plain = image.convert("RGBA") if "transparency" in image.info else image
            return plain.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"decode {name}", f"too many pixels ({error})", "Scale it down: it would fill the memory"
        ) from error
    except _BROKEN as error:
        raise DataError(
            f"decode {name}",
            f"no picture that can be read ({error})",
            "Replace it by a JPEG, PNG, WebP or BMP of 8 bits a channel, or take it away",
        ) from error


def _array(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)
