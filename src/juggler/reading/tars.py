"""Take named files out of a .tar.gz, or of the folder it was unpacked into; nothing is written to disk."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from juggler.errors import DataError
from juggler.reading.content import read_content
from juggler.reading.request import MALFORMED, Request

_MAX_FILE_BYTES = 200 << 20
_MAX_ALL_BYTES = 256 << 20  # CIFAR's archives have 187 MB
_BROKEN = (tarfile.TarError, gzip.BadGzipFile, MemoryError, *MALFORMED)


class _Bounded(io.RawIOBase):
    """A stream that gives out no more than so many bytes, whatever the archive claims."""

    def __init__(self, stream: gzip.GzipFile, origin: str) -> None:
        self._stream, self._origin, self._left = stream, origin, _MAX_ALL_BYTES

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; a DataError where there are too many."""
        content = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise DataError(
                f"unpack {self._origin}",
                f"more than {_MAX_ALL_BYTES} bytes",
                "It is not the archive it seems",
            )
        return content


def members(data: bytes, folder: str, names: Collection[str], origin: str) -> dict[str, bytes]:
    """Return the wanted files of an archive by name, those of one folder in it.

    Raises:
        DataError: one is missing or twice there, a name leads out of the archive, the archive is broken, or
            it unpacks to more than is sensible.
    """
    contents: dict[str, bytes] = {}
    try:
        with (
            gzip.GzipFile(fileobj=io.BytesIO(data)) as stream,
            tarfile.open(fileobj=_Bounded(stream, origin), mode="r|") as archive,
        ):
            for member in archive:
                path = _plain(member.name, origin)
                if path.name not in names or path.parts[-2:-1] != (folder,):
                    continue
                content = None if member.issparse() else archive.extractfile(member)
                if content is None or path.name in contents:
                    raise DataError(
                        f"read {origin}", f"{member.name} is no plain file, or twice there", "Fetch it again"
                    )
                contents[path.name] = _bounded(content.read(_MAX_FILE_BYTES + 1), f"{origin}/{member.name}")
    except DataError:
        raise
    except _BROKEN as error:
        raise DataError(
            f"unpack {origin}", f"it is broken or no .tar.gz ({error or 'cut short'})", "Fetch it again"
        ) from error
    return _all(contents, names, origin)


def files(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    """Return the wanted files of a folder by name.

    Raises:
        DataError: one is missing, cannot be read, or is larger than is sensible.
    """
    contents: dict[str, bytes] = {}
    for name in names:
        path = folder / name
        if not path.is_file():
            continue
        request = Request(f"read {path}", "Make it readable, or fetch it again", DataError)
        contents[name] = read_content(path, request, _MAX_FILE_BYTES)
    return _all(contents, names, str(folder))


def _plain(name: str, origin: str) -> PurePosixPath:
    """Return a member's path; nothing is unpacked, yet who names such paths made no data set."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"unpack {origin}", f"the name {name[:80]!r} leads out of it", "Do not trust this archive"
        )
    return path


def _bounded(content: bytes, origin: str) -> bytes:
    if len(content) > _MAX_FILE_BYTES:
        raise DataError(f"read {origin}", f"more than {_MAX_FILE_BYTES} bytes", "It is not the file it seems")
    return content


def _all(contents: dict[str, bytes], names: Collection[str], origin: str) -> dict[str, bytes]:
    missing = [name for name in names if name not in contents]
    if missing:
        raise DataError(f"read {origin}", f"it lacks {', '.join(missing)}", "Fetch and unpack it again")
    return {name: contents[name] for name in names}
