"""numpy's files: arrays of numbers, their sizes known before memory is taken, and nothing unpickled."""

from __future__ import annotations

import io
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from juggler.reading.content import MIB, read_content
from juggler.reading.request import Request
from juggler.reading.zips import ZIP_LIMITS, ZipLimits, open_zip

Arrays = dict[str, npt.NDArray[Any]]
SIZE = 4096 * MIB
HEADER = 8192
"""Bytes of a header: Python parses it, and deep brackets take the stack."""
NUMBERS = "biufc"
"""Kinds of elements, as numpy calls them: Booleans and numbers."""
_AXES = 32


def read_npy(
    source: Path | bytes, request: Request, *, kinds: Collection[str] = NUMBERS, size: int = SIZE
) -> npt.NDArray[Any]:
    """Return the array of a .npy file, or of the bytes of one; it cannot be written to.

    Args:
        source: the file or the bytes.
        request: who asks.
        kinds: kinds of elements that there may be, as `dtype.kind` has them.
        size: the most bytes.

    Raises:
        JugglerError: of the request's kind: it is no such file, holds other elements, objects among them, or
            more or fewer bytes than its shape says.
    """
    content = read_content(source, request, size)
    with request.refusing(".npy file"):
        stream = io.BytesIO(content)
        version = npy_format.read_magic(stream)
        length_bytes = 2 if version == (1, 0) else 4
        length = int.from_bytes(content[stream.tell() : stream.tell() + length_bytes], "little")
        if version not in ((1, 0), (2, 0)) or length > HEADER:
            raise ValueError(f"version {version}, a header of {length} bytes")
        read_header = (
            npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        )
        shape, fortran, dtype = read_header(stream, max_header_size=HEADER)
        if dtype.hasobject or dtype.kind not in kinds or dtype.subdtype is not None:
            raise ValueError(f"elements of {str(dtype)[:40]}")
        if len(shape) > _AXES or any(axis < 0 for axis in shape):
            raise ValueError(f"the shape {str(shape)[:80]}")
        number, left = math.prod(shape), len(content) - stream.tell()
        if number * dtype.itemsize != left:
            raise ValueError(f"{left:,} bytes for the shape {str(shape)[:80]} of {dtype}")
        array = np.frombuffer(content, dtype, number, stream.tell()) if left else np.empty(number, dtype)
        return array.reshape(shape, order="F" if fortran else "C")


def read_npz(
    source: Path | bytes,
    request: Request,
    limits: ZipLimits = ZIP_LIMITS,
    *,
    kinds: Collection[str] = NUMBERS,
) -> Arrays:
    """Return the arrays of an .npz file, or of the bytes of one, by name.

    Raises:
        JugglerError: of the request's kind: see `open_zip` and `read_npy`.
    """
    with open_zip(source, request, limits) as archive:
        return {
            name.removesuffix(".npy"): read_npy(archive.read(name), request, kinds=kinds)
            for name in archive.sizes()
        }
