"""Pictures of plain kinds and sizes are opened."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from juggler.errors import DataError
from juggler.reading.pictures import open_picture
from juggler.reading.request import Request

REQUEST = Request("decode it", "Replace it", DataError)


def encoded(form="PNG", mode="RGB", size=(3, 2), **options):
    content = io.BytesIO()
    Image.new(mode, size, 7).save(content, form, **options)
    return content.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP", "JPEG"])
def test_plain_pictures_are_opened(form):
    assert np.asarray(open_picture(encoded(form), REQUEST)).shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "no picture|not a picture"),
        (encoded("GIF", "P"), "no picture"),
        (encoded("PNG", "I;16"), "8 bits"),
        (encoded()[:40], "no picture"),
        (png(100_000, 100_000), "too many pixels"),
        (png(9_000, 9_000), "too many pixels"),
        (png(0, 5), "no picture"),
    ],
)
def test_what_is_none_is_refused(content, fault):
    with pytest.raises(DataError, match=fault):
        open_picture(content, REQUEST)
