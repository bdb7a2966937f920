"""Zip archives, unpacked in memory: few entries, plain names, and no more bytes than are wanted."""

from __future__ import annotations

import io
import mmap
import stat
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from juggler.reading.content import MIB, open_plain
from juggler.reading.request import Request

_ENTRY = b"PK\x01\x02"  # begins each entry of the directory
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1


@dataclass(frozen=True)
class ZipLimits:
    """What an archive may hold.

    Attributes:
        entries: files.
        size: bytes of all files, unpacked.
        ratio: bytes unpacked for one packed, in files above 16 MiB.
    """

    entries: int = 4096
    size: int = 256 * MIB
    ratio: int = 200


ZIP_LIMITS = ZipLimits()


class Archive:
    """An open archive whose directory was checked."""

    def __init__(self, archive: zipfile.ZipFile, request: Request, entries: list[zipfile.ZipInfo]) -> None:
        self._archive, self._request = archive, request
        self._entries = {entry.filename: entry for entry in entries}

    def sizes(self) -> dict[str, int]:
        """Return the bytes that each file says it has, by name, in the archive's order."""
        return {name: entry.file_size for name, entry in self._entries.items() if not entry.is_dir()}

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Return a file's bytes, as many as the directory says.

        Args:
            name: the file.
            limit: the most bytes; None is the archive's own limit.

        Raises:
            JugglerError: of the request's kind: there is none of the name, it is damaged or larger.
        """
        with self._request.refusing("whole zip archive"):
            entry = self._entries.get(name)
            if entry is None:
                raise ValueError(f"there is no {name!r} in it")
            if limit is not None and entry.file_size > limit:
                raise ValueError(f"{name!r} has {entry.file_size:,} bytes; at most {limit:,} are read")
            with self._archive.open(entry) as stream:
                content = stream.read(entry.file_size + 1)
            if len(content) != entry.file_size:
                raise ValueError(f"{name!r} has another size than the directory says")
            return content


@contextmanager
def open_zip(
    source: Path | bytes, request: Request, limits: ZipLimits = ZIP_LIMITS, *, only: str | None = None
) -> Iterator[Archive]:
    """Open an archive: a file, of which only what is asked for is read, or its bytes.

    Args:
        source: the file or the bytes.
        request: who asks.
        limits: what it may hold.
        only: look only at files of this name, in whatever folder. The others may be what they like, but for
            their number: it is for an archive of the user's that holds much else.

    Raises:
        JugglerError: of the request's kind: it is no zip, holds too many or too large files, one twice, a
            link, one that is encrypted or packed in another way than deflated, or a name that leads out.
    """
    with ExitStack() as stack:
        with request.refusing("zip archive"):
            if isinstance(source, bytes):
                _check_number(source, limits.entries)
                archive = stack.enter_context(zipfile.ZipFile(io.BytesIO(source)))
            else:
                file = stack.enter_context(open_plain(source, request))
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    _check_number(content, limits.entries)
                archive = stack.enter_context(zipfile.ZipFile(file))
            entries = [
                entry
                for entry in archive.infolist()
                if only is None or entry.filename.rsplit("/", 1)[-1] == only
            ]
            _check_entries(entries, limits)
        yield Archive(archive, request, entries)


def _check_number(content: bytes | mmap.mmap, limit: int) -> None:
    """Bound the entries before the directory is read: each takes half a kilobyte."""
    at, count = content.find(_ENTRY), 0
    while at >= 0 and count <= limit:
        at, count = content.find(_ENTRY, at + len(_ENTRY)), count + 1
    if count > limit:
        raise ValueError(f"more than {limit:,} files")


def _check_entries(entries: list[zipfile.ZipInfo], limits: ZipLimits) -> None:
    """Refuse entries that are no plain files, or whose sizes make no sense."""
    names = [entry.filename for entry in entries]
    if len({*names}) != len(names):
        raise ValueError("it holds a file twice")
    for entry in entries:
        name, path = repr(entry.filename[:80]), PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
            raise ValueError(f"the name {name} leads out of it")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ValueError(f"{name} is a link")
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
            raise ValueError(f"{name} is encrypted, or packed in an unusual way")
        if entry.file_size > 16 * MIB and entry.file_size > limits.ratio * max(entry.compress_size, 1):
            raise ValueError(f"{name} unpacks to {entry.file_size:,} bytes out of {entry.compress_size:,}")
    size = sum(entry.file_size for entry in entries)
    if size > limits.size:
        raise ValueError(f"it unpacks to {size:,} bytes; at most {limits.size:,} are read")
