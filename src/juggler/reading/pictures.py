"""Pictures: of four plain kinds, and of no more pixels than the memory has room for."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from juggler.errors import Unavailable
from juggler.extras import install_command
from juggler.reading.request import Request

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # Pillow reads stranger ones too, some by starting other programs
PIXELS = 64 << 20
"""Pixels of a picture: each takes twelve bytes or more while it is turned and its colours are made plain."""
_DEEP = ("I", "F")  # more than eight bits a channel, which Pillow would clip


def open_picture(content: bytes, request: Request, *, upright: bool = False) -> Image.Image:
    """Return a picture in colours of 8 bits a channel.

    Args:
        content: the file's bytes.
        request: who asks.
        upright: turn it as its camera was held.

    Raises:
        JugglerError: of the request's kind: it is no JPEG, PNG, WebP or BMP, broken, of more than 8 bits a
            channel or of more pixels than is sensible.
        Unavailable: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415  # the base install detects without it
    except ImportError as error:
        raise Unavailable(
            "decode pictures", f"Pillow is not installed ({error})", install_command("train")
        ) from error
    try:
        with (
            request.refusing("picture that can be read"),
            Image.open(io.BytesIO(content), formats=FORMATS) as image,
        ):
            most = min(Image.MAX_IMAGE_PIXELS or PIXELS, PIXELS)
            if image.width * image.height > most:
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
        raise type(request)(request.asked, "Scale it down: it would fill the memory", request.error).refusal(
            f"too many pixels ({error})"
        ) from error
