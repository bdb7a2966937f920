"""Pictures in folders named by their classes."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from juggler.data.picture_cache import Batch
from juggler.data.readers.decode import in_parallel, square
from juggler.display import printable
from juggler.errors import DataError
from juggler.reading.content import read_content
from juggler.reading.request import Request

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_READ = ", ".join(SUFFIXES)
TEST_NAMES = ("test", "val", "valid", "validation")
HELD_OUT = 0.2
_KINDS = 8  # kinds of files passed over that are listed
_HELD_OUT_NOTE = (
    f"the folder has no part to test on: {HELD_OUT:.0%} of each class, by the files' names, was held out"
)


@dataclass(frozen=True)
class Listing:
    """The pictures of one part, not yet read.

    Attributes:
        root: folder that the files are named from.
        classes: names of the classes, sorted.
        files: the pictures, class by class.
        labels: `[files]`.
        notes: how the part was chosen and what was passed over, where that is to be said.
        file_bytes: the largest file that may be a picture.
        at_once: pictures that are decoded together.
    """

    root: Path
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    file_bytes: int = 256 << 20
    at_once: int = 256

    def facts(self) -> list[tuple[str, int, int]]:
        """Return name, size in bytes and time of change of each file: what tells that none has changed.

        Raises:
            DataError: a file has gone or cannot be looked at.
        """
        try:
            stats = [(path, path.stat()) for path in self.files]
        except OSError as error:
            raise DataError(f"list {self.root}", str(error), "Leave the folder as it is meanwhile") from error
        return [
            (os.fsencode(path.relative_to(self.root)).hex(), stat.st_size, stat.st_mtime_ns)
            for path, stat in stats
        ]

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the pictures, decoded, resized and cut to squares.

        Raises:
            DataError: a picture cannot be read or decoded; it is named.
            Unavailable: Pillow is not installed.
        """
        first = 0
        work = partial(_square, size=size, file_bytes=self.file_bytes)
        for images in in_parallel(work, self.files, self.at_once):
            yield Batch(images, self.labels[first : first + len(images)])
            first += len(images)


def listing(root: Path, part: str) -> Listing:
    """Return the pictures of `train` or `test` in a folder.

    The folder holds train/CLASS/ and one of test, val, valid or validation, each with CLASS/; or only CLASS/
    folders, of which a fixed share is held out as the test part. Hidden files are passed over; so are files
    without the suffix of a picture that is read, and these the notes count.

    Raises:
        DataError: there are fewer than two classes, one without pictures, a test class that training does
            not have, or a test part without a training part.
    """
    folders = _folders(root)
    tests = [folders[name] for name in TEST_NAMES if name in folders and _folders(folders[name])]
    if tests and "train" not in folders:
        raise DataError(
            f"list the pictures in {root}", f"{tests[0].name}/ without train/", "Name the other one train"
        )
    train = folders.get("train", root)
    classes = tuple(_folders(train))
    if len(classes) < 2:
        raise DataError(
            f"list the pictures in {train}",
            f"{len(classes)} folders",
            "Put the pictures into one folder a class, at least two, such as train/cat and train/dog",
        )
    if not tests:
        return _shared(train, classes, part)
    place = train if part == "train" else tests[0]
    strange = {*_folders(place)} - {*classes}
    if strange:
        raise DataError(
            f"list the pictures in {place}",
            f"classes that {train} does not have: {', '.join(sorted(strange)[:5])}",
            "Name the classes alike in both",
        )
    notes = tuple(f"{path.name}/ was left alone: {tests[0].name}/ is the test part" for path in tests[1:])
    strays: Counter[str] = Counter()
    groups = [_pictures(place / name, strays) if (place / name).is_dir() else () for name in classes]
    return _joined(root, classes, groups, (*notes, *_note_on(strays, place)))


def _shared(train: Path, classes: tuple[str, ...], part: str) -> Listing:
    """Hold a share of each class out as the test part: the same files on every machine and every time."""
    groups = []
    strays: Counter[str] = Counter()
    for name in classes:
        files = _pictures(train / name, strays)
        ranked = sorted(files, key=lambda path: hashlib.sha256(os.fsencode(path.relative_to(train))).digest())
        held = {*ranked[: max(1, round(HELD_OUT * len(files)))]}
        if len(held) == len(files):
            raise DataError(
                f"hold out a test part of {train / name}", "one picture", "Give each class at least two"
            )
        groups.append(tuple(path for path in files if (path in held) == (part == "test")))
    return _joined(train, classes, groups, (_HELD_OUT_NOTE, *_note_on(strays, train)))


def _joined(
    root: Path, classes: tuple[str, ...], groups: list[tuple[Path, ...]], notes: tuple[str, ...]
) -> Listing:
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(group) for group in groups])
    return Listing(root, classes, tuple(path for group in groups for path in group), labels, notes)


def _folders(root: Path) -> dict[str, Path]:
    """Return the folders in a folder by name, sorted; hidden ones are passed over."""
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError as error:
        raise DataError(
            f"list the pictures in {root}", error.strerror or str(error), "Name a folder that can be read"
        ) from error
    return {path.name: path for path in folders if _seen(path.name)}


def _seen(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))


def _pictures(folder: Path, strays: Counter[str]) -> tuple[Path, ...]:
    """Return the pictures of one class, its own folders included, in a fixed order; count other files."""
    pictures: list[Path] = []
    passed_over: Counter[str] = Counter()
    for here, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(filter(_seen, folders))
        for name in sorted(filter(_seen, names)):
            if name.lower().endswith(SUFFIXES):
                pictures.append(Path(here, name))
            else:
                passed_over[printable(Path(name).suffix.lower(), 12) or "without a suffix"] += 1
    if not pictures:
        raise DataError(
            f"list the pictures in {folder}",
            f"no file ends in {', '.join(SUFFIXES)}"
            + (f", and {_listed(passed_over)}" if passed_over else ""),
            "Put pictures there, or take the empty folder away",
        )
    strays += passed_over
    return tuple(pictures)


def _refuse(error: OSError) -> None:
    """Refuse a folder that cannot be looked into: what it holds would be missing without a word."""
    raise DataError(
        f"list the pictures in {error.filename}", error.strerror or str(error), "Make it readable"
    ) from error


def _note_on(strays: Counter[str], place: Path) -> tuple[str, ...]:
    """Say which files were passed over, where there were any."""
    if not strays:
        return ()
    read = ", ".join(SUFFIXES)
    return (
        f"{strays.total():,} files in {place} were passed over ({_listed(strays)}): only {read} are read",
    )


def _listed(strays: Counter[str]) -> str:
    kinds = [f"{count:,} {suffix}" for suffix, count in strays.most_common(_KINDS)]
    return ", ".join([*kinds, *(["..."] if len(strays) > _KINDS else [])])


def _square(path: Path, size: int, file_bytes: int) -> NDArray[np.uint8]:
    request = Request(f"read {path}", "Make it readable, or scale it down", DataError)
    content = read_content(path, request, file_bytes)
    return square(content, str(path), size)
