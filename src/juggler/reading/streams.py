"""Streams: files and standard input, inflated as they are read, however large they become."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from juggler.errors import DataError


class Readable(Protocol):
    """What gives bytes, fewer than wanted only at its end."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""


_INFLATERS: dict[bytes, Callable[[BinaryIO], Readable]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": lambda file: pa.CompressedInputStream(file, "zstd"),
    b"\x04\x22\x4d\x18": lambda file: pa.CompressedInputStream(file, "lz4"),
}
INFLATING_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowException)
"""What inflating can raise."""


@contextmanager
def inflated(path: str | Path) -> Iterator[Readable]:
    """Open a file, or standard input for `-`, and inflate what is compressed.

    Raises:
        DataError: it cannot be opened.
    """
    request = f"read {path}"
    from_pipe = str(path) == "-"
    try:
        file: BinaryIO = sys.stdin.buffer if from_pipe else Path(path).open("rb")  # noqa: SIM115  # closed below
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(request, reason, "Check the path, or use - for standard input") from error
    try:
        buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)  # type: ignore[type-var]
        head = buffered.peek(6)[:6]
        yield next((make(buffered) for magic, make in _INFLATERS.items() if head.startswith(magic)), buffered)
    finally:
        if not from_pipe:
            file.close()
