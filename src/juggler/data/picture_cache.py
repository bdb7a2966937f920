"""Keep decoded pictures on disk: written whole or not at all, mapped when read, checked every time.

An entry is a folder named by its key, of `images.npy`, `labels.npy` and `about.json`. It is made beside its
place and moved there in one step, so several processes may make the same one at once. What does not have the
digest that it was written with is made anew, so nothing here need be flushed to the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from juggler.data.pictures import pictures_sha256, tail_of
from juggler.errors import ArtefactError, DataError
from juggler.reading.documents import read_json
from juggler.reading.request import Request

IMAGES, LABELS, ABOUT = "images.npy", "labels.npy", "about.json"
FORMAT = 1
"""Raised whenever an entry is written in another way or a reader decodes to other values."""

_HEADER_BYTES = 128
_STALE_S = 86_400
_ATTEMPTS = 3


@dataclass(frozen=True)
class Batch:
    """Pictures from a reader: `images` `[k, C, H, W]`, `labels` `[k]`, notes on how they were kept."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decoded:
    """All pictures of an entry, its images a private memory map, with their digest and their notes."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    notes: tuple[str, ...]
    sha256: str


def key_of(*facts: object) -> str:
    """Return the key of an entry: the digest of all that decides what is decoded, as JSON."""
    return hashlib.sha256(json.dumps([FORMAT, *facts], default=str).encode()).hexdigest()


def decoded(folder: Path, key: str, batches: Callable[[], Iterator[Batch]]) -> Decoded:
    """Return the pictures of a key: from the cache, or decoded and kept there.

    Where the cache cannot be written, a warning says so and the pictures are held in memory.

    Args:
        folder: the cache.
        key: what decides the pictures, as `key_of` gives it.
        batches: decodes them; called again where the cache gives out half-way. It must raise the errors of
            its own files as DataErrors, for an OSError is taken for the cache's.

    Raises:
        DataError: there are no pictures, or `batches` says so.
    """
    place = folder / key
    try:
        entry = _read(place)
        if entry is None:
            _make(place, batches)
            entry = _read(place)
        reason = "what was written does not read back"
    except OSError as error:
        entry, reason = None, error.strerror or str(error)
    if entry is not None:
        return entry
    warnings.warn(
        f"decoded pictures cannot be kept in {folder} ({reason}): they are held in memory and will "
        "be decoded again next time; make room, or set XDG_CACHE_HOME to a folder that can be written",
        UserWarning,
        stacklevel=2,
    )
    return _gather(list(batches()))


def _read(place: Path) -> Decoded | None:
    """Map an entry; None where there is none, or one that is not what was written."""
    try:
        about = read_json(place / ABOUT, Request("read a cache of pictures", "Delete it"))
        shape = tuple(int(size) for size in about["shape"])
        images = _mapped(place / IMAGES, "|u1", shape)
        labels = np.array(_mapped(place / LABELS, "<i8", shape[:1]), dtype=np.int64)
        notes, sha256 = tuple(str(note) for note in about["notes"]), str(about["sha256"])
    except (OSError, ValueError, TypeError, KeyError, ArtefactError):
        return None
    is_intact = len(shape) == 4 and pictures_sha256(images, labels) == sha256
    return Decoded(images, labels, notes, sha256) if is_intact else None


def _mapped(path: Path, element: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Map an array, of a file that has this very header and size; no other header is read.

    Raises:
        ValueError: it has another.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    file_bytes = _HEADER_BYTES + math.prod(shape) * np.dtype(element).itemsize
    if header != _header(element, shape) or path.stat().st_size != file_bytes:
        raise ValueError(f"{path} was not written whole")
    # Copy-on-write: the file cannot be changed through it, and torch takes it without a copy or a complaint.
    return np.memmap(path, dtype=element, mode="c", offset=_HEADER_BYTES, shape=shape)


def _header(element: str, shape: tuple[int, ...]) -> bytes:
    """Return the header of a .npy file, version 1.0, always as long, so that it can be written last."""
    text = repr({"descr": element, "fortran_order": False, "shape": shape}).encode()
    rest = _HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + rest.to_bytes(2, "little") + text.ljust(rest - 1) + b"\n"


def _make(place: Path, batches: Callable[[], Iterator[Batch]]) -> None:
    """Decode into a new folder beside `place`, and move it there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    _sweep(place.parent)
    part = place.parent / f".new-{os.getpid()}-{secrets.token_hex(4)}"
    part.mkdir()
    try:
        digest, labels, notes = hashlib.sha256(), [], dict[str, None]()
        shape: tuple[int, ...] = ()
        with (part / IMAGES).open("wb") as file:
            file.write(bytes(_HEADER_BYTES))
            for batch in batches():
                pixels = np.ascontiguousarray(batch.images)
                shape = _joined(shape, pixels.shape)
                file.write(pixels.data)
                digest.update(pixels.data)
                labels.append(batch.labels)
                notes |= dict.fromkeys(batch.notes)
            _refuse_none(shape)
            file.seek(0)
            file.write(_header("|u1", shape))
        joined = np.concatenate(labels)
        digest.update(tail_of(joined, shape))
        (part / LABELS).write_bytes(_header("<i8", shape[:1]) + joined.astype("<i8").tobytes())
        about = {"shape": shape, "notes": [*notes], "sha256": digest.hexdigest(), "pillow": _pillow_version()}
        (part / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        _publish(part, place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _joined(before: tuple[int, ...], batch: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of what there is with one batch more."""
    if before and before[1:] != batch[1:]:
        raise DataError("join pictures", f"shapes {before[1:]} and {batch[1:]}", "Give all the same shape")
    return ((before[0] if before else 0) + batch[0], *batch[1:])


def _refuse_none(shape: tuple[int, ...]) -> None:
    if not shape or not math.prod(shape):
        raise DataError("decode pictures", "there are none", "Give a file or a folder that holds some")


def _publish(part: Path, place: Path) -> None:
    """Give the new folder its name; where another process was first, keep the other's if it is whole."""
    for _ in range(_ATTEMPTS):
        try:
            part.rename(place)
        except OSError:
            if _read(place) is not None:
                return
            # Those who have mapped the damaged one keep what they have: it is moved away, not written over.
            trash = place.parent / f".old-{os.getpid()}-{secrets.token_hex(4)}"
            with contextlib.suppress(FileNotFoundError):
                place.rename(trash)
            _remove(trash)
        else:
            return


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left more than a day ago."""
    for left in (*folder.glob(".new-*"), *folder.glob(".old-*")):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_S:
                _remove(left)


def _gather(batches: list[Batch]) -> Decoded:
    """Return batches as one, held in memory."""
    shape: tuple[int, ...] = ()
    for batch in batches:
        shape = _joined(shape, batch.images.shape)
    _refuse_none(shape)
    images = np.concatenate([batch.images for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    notes = dict.fromkeys(note for batch in batches for note in batch.notes)
    return Decoded(images, labels, tuple(notes), pictures_sha256(images, labels))


def _pillow_version() -> str:
    """Return which Pillow decoded, for JPEG may come out a little differently from another."""
    try:
        return version("pillow")
    except PackageNotFoundError:
        return ""
