"""What CIFAR-10 and CIFAR-100 share: which copies there are, where they are looked for, how each is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from juggler.data.dataset import Provenance, check_choice
from juggler.data.picture_cache import Batch, decoded, key_of
from juggler.data.pictures import Pictures, TrainPictures
from juggler.data.readers.cifar_binary import SHAPE
from juggler.data.readers.parquet import ParquetLayout
from juggler.data.source import DataNotFound, FileCopy, RemoteFile, Source, walk
from juggler.errors import DataError
from juggler.nouns import Progress
from juggler.reading.tars import files, members

COUNTS = {"train": 50_000, "test": 10_000}
_HOME = "https://www.cs.toronto.edu/~kriz/"
_ARCHIVE_BYTES = 200 << 20


class Layout(Protocol):
    """How the files of a form are read."""

    def batches(self, content: bytes, origin: str) -> Iterator[Batch]:
        """Yield the pictures of one file."""

    def class_names(self, content: bytes, origin: str) -> tuple[str, ...]:
        """Return the names in the file of names."""


@dataclass(frozen=True)
class Form:
    """One of the official forms.

    Attributes:
        kind: what it is called.
        archive: the published archive.
        folder: the folder in it.
        parts: the files of each part, in order.
        names: the file of class names.
        layout: how the files are read.
    """

    kind: str
    archive: RemoteFile
    folder: str
    parts: Mapping[str, tuple[str, ...]]
    names: str
    layout: Layout

    def files_of(self, part: str) -> tuple[str, ...]:
        """Return the files that a part is read from."""
        return (*self.parts[part], self.names)


@dataclass(frozen=True)
class _Copy:
    """A copy that was found: where, its digest, and what decodes it."""

    origin: str
    sha256: str
    batches: Callable[[], Iterator[Batch]]


def archive(name: str, sha256: str) -> RemoteFile:
    """Return a published archive; its SHA-256 is that of the file whose MD5 the page states."""
    return RemoteFile(name, sha256, (_HOME + name,), _ARCHIVE_BYTES)


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets, its files looked for by `source`.

    Attributes:
        title: its name as people write it.
        classes: names of the classes, in the order of the labels.
        forms: the official forms, the one to download first.
        parquet: how its parquet copies are known and read.
        most: pictures of a copy that is allowed to be another than the published one.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    forms: tuple[Form, ...]
    parquet: ParquetLayout
    source: Source = field(default_factory=Source)
    synthetic: bool = False
    parts: tuple[str, ...] = tuple(COUNTS)
    most: int = 1_000_000

    @property
    def provenance(self) -> Provenance:
        """Return where it comes from, with the digests of the archives."""
        return Provenance(
            name=self.name,
            synthetic=False,
            citation=(
                "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report, "
                f"University of Toronto 2009; {_HOME}cifar.html"
            ),
            licence="none is stated; the page asks for the report to be cited",
            sha256={form.archive.name: form.archive.sha256 for form in self.forms},
        )

    def at(self, source: Source) -> Cifar:
        """Return the same set, its files looked for by `source`."""
        return replace(self, source=source)

    def load(self, part: str) -> Pictures:
        """Return the pictures of `train` or `test`, uint8 `[n, 3, 32, 32]`, decoded once and then mapped.

        Raises:
            ConfigError: there is no such part.
            DataError: no copy is found, or one that was modified, is broken, or has other classes.
            Unavailable: the copy is parquet, and Pillow is not installed.
        """
        check_choice(f"load a part of {self.name}", part, self.parts)
        copy = self._find(part)
        key = key_of(self.name, part, copy.sha256)
        pictures = decoded(self.source.cache_folder / "pictures", key, lambda: self._checked(copy, part))
        self._check_count(len(pictures.labels), copy, part)
        return Pictures(
            pictures.images, pictures.labels, self.classes, copy.origin, pictures.sha256, pictures.notes
        )

    def training(self) -> TrainPictures:
        """Return the training pictures; errors as `load`."""
        return TrainPictures.of(self.load("train"))

    def _find(self, part: str) -> _Copy:
        """Return the first copy: what the user has, in any form, then the cache, then the public archive."""
        for label, place in self.source.places():
            for form in self.forms:
                if (archive := self.source.look(label, place, form.archive, [])) is not None:
                    return self._archived(form, archive, part)
            copy = self._unpacked(place, part) or self._shards(place, part)
            if copy is not None:
                return copy
        try:
            return self._archived(self.forms[0], self.source.fetch(self.forms[0].archive), part)
        except DataNotFound as error:
            archives = " or ".join(form.archive.name for form in self.forms)
            folders = " or ".join(f"{form.folder}/" for form in self.forms)
            raise DataNotFound(
                f"find {self.title}",
                error.found,
                f"Set JUGGLER_DATA to a folder that holds {archives}, or {folders} as they unpack, or "
                f"a folder {self.name}/ with {part}-00000-of-00001.parquet; or connect to the network",
            ) from error

    def _archived(self, form: Form, archive: FileCopy, part: str) -> _Copy:
        def batches() -> Iterator[Batch]:
            content = members(archive.data, form.folder, form.files_of(part), archive.origin)
            return self._official(form, content, part, archive.origin)

        return _Copy(f"{archive.origin}, official {form.kind} archive", archive.sha256, batches)

    def _unpacked(self, place: Path, part: str) -> _Copy | None:
        """Return what one of the archives was unpacked into."""
        for form in self.forms:
            for path in walk(place):
                if path.name == form.parts[part][0] and path.parent.name == form.folder:
                    return self._opened(form, path.parent, part)
        return None

    def _opened(self, form: Form, folder: Path, part: str) -> _Copy:
        content = files(folder, form.files_of(part))
        digests = [hashlib.sha256(data).hexdigest() for data in content.values()]
        sha256 = hashlib.sha256("".join(digests).encode()).hexdigest()
        return _Copy(
            f"{folder}, unpacked {form.kind} archive, SHA-256 of its files {sha256}",
            sha256,
            lambda: self._official(form, content, part, str(folder)),
        )

    def _shards(self, place: Path, part: str) -> _Copy | None:
        """Return a parquet copy; none has a published digest, so its own is told."""
        shards = self.parquet.find(place, part) if place.is_dir() else ()
        if not shards:
            return None
        digests = []
        for shard in shards:
            try:
                with shard.open("rb") as file:
                    digests.append(hashlib.file_digest(file, "sha256").hexdigest())
            except OSError as error:
                raise DataError(f"read {shard}", error.strerror or str(error), "Make it readable") from error
        sha256 = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
        origin = f"{shards[0].parent}, {part} part as parquet, SHA-256 {sha256}"
        return _Copy(origin, sha256, lambda: self.parquet.batches(shards))

    def _official(self, form: Form, content: Mapping[str, bytes], part: str, origin: str) -> Iterator[Batch]:
        """Yield the pictures of an official form, its class names checked."""
        names = form.layout.class_names(content[form.names], f"{origin}/{form.names}")
        if names != self.classes:
            raise DataError(
                f"read {self.title} from {origin}",
                f"its classes are {', '.join(names[:3])}, ..., {len(names)} in all",
                f"Expected {', '.join(self.classes[:3])}, ..., {len(self.classes)} in all",
            )
        for name in form.parts[part]:
            yield from form.layout.batches(content[name], f"{origin}/{name}")

    def _checked(self, copy: _Copy, part: str) -> Iterator[Batch]:
        """Pass batches on; refuse other shapes, labels without a class, and more than were published."""
        done, most = 0, self.most if self.source.allow_modified else COUNTS[part]
        for batch in copy.batches():
            strange = (batch.labels < 0) | (batch.labels >= len(self.classes))
            if batch.images.shape[1:] != SHAPE or strange.any():
                raise DataError(
                    f"read {self.title} from {copy.origin}",
                    f"picture {done + int(strange.argmax())} has the label {batch.labels[strange.argmax()]} "
                    f"and the shape {batch.images.shape[1:]}",
                    f"Expected labels below {len(self.classes)} and the shape {SHAPE}",
                )
            done += len(batch.labels)
            if done > most:
                self._check_count(done, copy, part)
            if self.source.decoding is not None:
                self.source.decoding(Progress("decode", done, COUNTS[part], "pictures"))
            yield batch

    def _check_count(self, count: int, copy: _Copy, part: str) -> None:
        """Refuse a copy with more or fewer pictures than were published, unless modified ones are allowed."""
        allowed = count <= self.most if self.source.allow_modified else count == COUNTS[part]
        if not allowed:
            raise DataError(
                f"read the {part} part of {self.title} from {copy.origin}",
                f"{count} pictures or more, published were {COUNTS[part]}",
                "Replace it with the published set, or allow modified data explicitly",
            )


def folder_called(*words: str) -> re.Pattern[str]:
    """Return what finds these words in a folder's name, apart or joined, not followed by another digit."""
    return re.compile(r"[-_ ]?".join(map(re.escape, words)) + r"(?!\d)", re.IGNORECASE)
