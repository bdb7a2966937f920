"""The bytes of a file: of a plain one, and no more than are wanted."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from juggler.reading.request import Request

MIB = 1 << 20


def read_content(source: Path | str | bytes, request: Request, limit: int) -> bytes:
    """Return all bytes of a plain file, or those given.

    A pipe or a device, which may never end, is refused without a byte being read.

    Args:
        source: the file; or the bytes themselves, which only their number is looked at.
        request: who asks.
        limit: the most bytes.

    Raises:
        JugglerError: of the request's kind: it cannot be read, is no plain file, or is larger.
    """
    if isinstance(source, bytes):
        if len(source) > limit:
            raise request.refusal(_too_large(len(source), limit))
        return source
    with open_plain(source, request) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise request.refusal(_too_large(size, limit))
        try:
            content = file.read(size + 1)  # so much memory is taken at once
        except OSError as error:
            raise request.refusal(error.strerror or str(error)) from error
    if len(content) > limit:
        raise request.refusal(_too_large(len(content), limit))
    return content


def open_plain(source: Path | str, request: Request) -> BinaryIO:
    """Open a plain file for reading.

    Raises:
        JugglerError: of the request's kind: there is none, or a pipe, a device, a folder.
    """
    try:
        # Opened without waiting: a pipe that nobody writes to would wait for ever.
        handle = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            is_plain = stat.S_ISREG(os.fstat(handle).st_mode)
        except OSError:
            os.close(handle)
            raise
    except FileNotFoundError as error:
        raise request.refusal("there is no such file") from error
    except (OSError, ValueError) as error:  # a name with a zero in it is a ValueError
        raise request.refusal(getattr(error, "strerror", None) or str(error)) from error
    if not is_plain:
        os.close(handle)
        raise request.refusal("it is no plain file")
    return os.fdopen(handle, "rb")


def read_text(source: Path | str | bytes, request: Request, limit: int) -> str:
    """Return the text of a plain file in UTF-8.

    Raises:
        JugglerError: as `read_content`, and where it is no UTF-8.
    """
    content = read_content(source, request, limit)
    with request.refusing("text in UTF-8"):
        return content.decode("utf-8")


def _too_large(size: int, limit: int) -> str:
    return f"it has {size} bytes, more than {limit} bytes"
