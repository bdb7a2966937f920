"""Find a data set's files: in a folder or a zip, in the user's cache, or at a public copy.

A file counts only if its SHA-256 is the published one, wherever it was found.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir

from juggler.data.download import DownloadFailed, download
from juggler.errors import DataError
from juggler.nouns import ReportProgress
from juggler.reading.request import Request
from juggler.reading.zips import ZipLimits, open_zip

_DEPTH = 3
_MAX_ENTRIES, _MAX_UNPACKED = 100_000, 1 << 40  # of an archive of the user's, whatever else is in it


class DataNotFound(DataError):  # noqa: N818  # it names what happened, as `Refused` does
    """A data set's file is nowhere to be found; the message lists every place that was tried."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set: its name, published digest, public copies, and the size it must stay below."""

    name: str
    sha256: str
    urls: tuple[str, ...]
    max_bytes: int = 64 << 20


@dataclass(frozen=True)
class FileCopy:
    """The bytes of a file, where they were found, and their digest."""

    data: bytes
    origin: str
    sha256: str


@dataclass(frozen=True)
class Source:
    """Where to look for the files of a data set, in this order: folder, $JUGGLER_DATA, cache, public copies.

    Attributes:
        folder: a folder (searched three levels deep) or a zip to look in first.
        allow_modified: take a local file though its digest is not the published one.
        cache: folder for downloads and decoded pictures; None is the user's cache.
        timeout_s: how long a public copy may stay silent.
        progress: called with the bytes done and the bytes in all while a file is fetched.
        offline: download nothing; the environment variable JUGGLER_OFFLINE=1 says the same.
        decoding: called with the pictures done and the pictures in all while pictures are decoded.
        only_folder: look in the folder and nowhere else, where one is named.
    """

    folder: Path | None = None
    allow_modified: bool = False
    cache: Path | None = None
    timeout_s: float = 30.0
    progress: ReportProgress | None = None
    offline: bool = False
    decoding: ReportProgress | None = None
    only_folder: bool = False

    def fetch(self, file: RemoteFile) -> FileCopy:
        """Return the file's bytes from the first place that holds it.

        Raises:
            DataNotFound: no place holds it.
            DataError: a local file has another digest than the published one.
        """
        tried: list[str] = []
        for label, place in self.places():
            copy = self.look(label, place, file, tried)
            if copy is not None:
                return copy
        if self.folder is not None and self.only_folder:
            remedy = f"Name a folder or a zip that holds {file.name}, or none: then it is looked for"
            raise DataNotFound(f"find {file.name}", "; ".join(tried), remedy)
        cache = self.cache_folder
        return self._cached(cache / file.name, file, tried) or self._fetched(cache, file, tried)

    @property
    def cache_folder(self) -> Path:
        """Return the folder for what is fetched or decoded; it may not be there yet."""
        return Path(self.cache or user_cache_dir("juggler"))

    def places(self) -> Iterator[tuple[str, Path]]:
        """Yield what each place is called and where it is, those of the user: the folder, $JUGGLER_DATA."""
        if self.folder is not None:
            yield "the given folder", Path(self.folder)
            if self.only_folder:
                return
        if os.environ.get("JUGGLER_DATA"):
            yield "$JUGGLER_DATA", Path(os.environ["JUGGLER_DATA"])

    def look(self, label: str, place: Path, file: RemoteFile, tried: list[str]) -> FileCopy | None:
        """Return the copy in one place that has the right digest; where all have another, refuse.

        If modified files are allowed, the first is taken instead. Why there is none goes into `tried`.

        Raises:
            DataError: all copies have another digest than the published one.
        """
        if not place.exists():
            tried.append(f"{label} ({place}) does not exist")
            return None
        modified = []
        for origin, data in _copies(place, file, tried):
            copy = FileCopy(data, origin, hashlib.sha256(data).hexdigest())
            if copy.sha256 == file.sha256:
                return copy
            modified.append(copy)
        if not modified:
            tried.append(f"{label} ({place}) does not hold it")
            return None
        if self.allow_modified:
            return modified[0]
        raise DataError(
            f"read {modified[0].origin}",
            f"its SHA-256 is {modified[0].sha256}, expected {file.sha256}",
            "Replace it with the published file, or allow modified data explicitly",
        )

    def _cached(self, path: Path, file: RemoteFile, tried: list[str]) -> FileCopy | None:
        try:
            data = path.read_bytes()
        except OSError as error:
            tried.append(f"the cache ({path}): {error.strerror}")
            return None
        digest = hashlib.sha256(data).hexdigest()
        if digest == file.sha256:
            return FileCopy(data, str(path), digest)
        tried.append(f"the cache ({path}) holds a damaged copy, SHA-256 {digest}")
        return None

    def _fetched(self, cache: Path, file: RemoteFile, tried: list[str]) -> FileCopy:
        if self.offline or os.environ.get("JUGGLER_OFFLINE", "") not in ("", "0"):
            tried.append("downloads are switched off (offline, or JUGGLER_OFFLINE)")
        else:
            for url in file.urls:
                try:
                    path = download(
                        url,
                        cache / file.name,
                        sha256=file.sha256,
                        max_bytes=file.max_bytes,
                        timeout_s=self.timeout_s,
                        progress=self.progress,
                    )
                    return FileCopy(path.read_bytes(), url, file.sha256)
                except DownloadFailed as error:
                    tried.append(str(error))
        raise DataNotFound(
            f"find {file.name}",
            "tried " + "; ".join(tried),
            f"Set JUGGLER_DATA to a folder or a zip that holds {file.name}, or connect to the network",
        )


def _copies(place: Path, file: RemoteFile, tried: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield origin and bytes of every copy in a folder or a zip, plain files first."""
    plain, archives = [], []
    for path in [place] if place.is_file() else walk(place):
        if path.name == file.name:
            plain.append(path)
        elif path.suffix.lower() == ".zip":
            archives.append(path)
    for path in plain:
        try:
            if path.stat().st_size > file.max_bytes:
                tried.append(f"{path} has more than {file.max_bytes} bytes")
                continue
            data = path.read_bytes()
        except OSError as error:
            tried.append(f"{path}: {error.strerror}")
            continue
        yield str(path), data
    for path in archives:
        yield from _members(path, file, tried)


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files up to three folders deep, in a fixed order."""
    for here, folders, names in os.walk(folder):
        folders.sort()
        if len(Path(here).relative_to(folder).parts) >= _DEPTH:
            folders.clear()
        yield from (Path(here, name) for name in sorted(names))


def _members(path: Path, file: RemoteFile, tried: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the members of a zip that have the file's name, unpacked in memory."""
    limits = ZipLimits(entries=_MAX_ENTRIES, size=_MAX_UNPACKED)
    try:
        with open_zip(
            path, Request(f"open {path}", "Unpack it", DataError), limits, only=file.name
        ) as archive:
            for name, size in archive.sizes().items():
                if size > file.max_bytes:
                    tried.append(f"{path}/{name} has more than {file.max_bytes} bytes")
                    continue
                yield f"{path}/{name}", archive.read(name)
    except DataError as error:
        tried.append(f"{path} cannot be read as a zip ({error.found})")
