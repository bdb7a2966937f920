"""Pictures in parquet as Hugging Face writes it: a column of {bytes, path}, a column of labels, in shards.

The files of all its data sets have the same names, so a copy is known by the class names that it carries, or,
where it carries none, by the name of its folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from juggler.data.picture_cache import Batch
from juggler.data.readers.decode import is_jpeg, rgb
from juggler.data.source import walk
from juggler.errors import ArtefactError, DataError
from juggler.reading.documents import parse_object
from juggler.reading.request import Request
from juggler.reading.tables import open_table

_SHARD = re.compile(r"(?P<part>[a-z]+)-(?P<number>\d{5})-of-(?P<total>\d{5})\.parquet")
_IMAGE_COLUMNS = ("img", "image")
_ROWS = 1024


@dataclass(frozen=True)
class ParquetLayout:
    """How a data set's parquet copies are known, and read.

    Attributes:
        folder: what the copy's folder, or one around it, is called where the files name no classes.
        label: column of the labels.
        classes: names of the classes.
        misspelt: class names that known copies have instead.
        jpeg_note: what is to be said where the pictures are JPEG-compressed.
    """

    folder: re.Pattern[str]
    label: str
    classes: tuple[str, ...]
    misspelt: Mapping[str, str] = field(default_factory=dict)
    jpeg_note: str = ""

    def find(self, place: Path, part: str) -> tuple[Path, ...]:
        """Return the shards of a part, in order, of the first copy below a folder; none where there is none.

        Raises:
            DataError: a copy lacks a shard, or is broken.
        """
        folders: dict[Path, list[Path]] = {}
        for path in walk(place):
            shard = _SHARD.fullmatch(path.name)
            if shard is not None and shard["part"] == part:
                folders.setdefault(path.parent, []).append(path)
        for folder, shards in folders.items():
            named = folder == place or any(map(self.folder.search, (place.name, *_below(folder, place))))
            if self._fits(shards[0], named=named):
                return _whole(shards)
        return ()

    def batches(self, shards: Sequence[Path]) -> Iterator[Batch]:
        """Yield the decoded pictures of the shards.

        Raises:
            DataError: a shard is broken, a picture cannot be decoded or has no label, or a label is not that
                of the folder that the picture came from.
            Unavailable: Pillow is not installed.
        """
        for shard in shards:
            if not self._fits(shard, named=True):
                raise DataError(f"read {shard}", "other columns or classes than the rest", "Fetch it again")
            with open_table(shard, _request(shard)) as table:
                image = next(name for name in _IMAGE_COLUMNS if name in table.schema.names)
                first = 0
                for rows in table.batches(_ROWS, [image, self.label]):
                    yield self._batch(rows.column(image), rows.column(self.label), f"{shard}, picture", first)
                    first += len(rows)

    def _fits(self, shard: Path, *, named: bool) -> bool:
        """Say whether a file is of this data set, by its columns and class names, or else its folder's."""
        try:
            with open_table(shard, _request(shard)) as table:
                schema = table.schema
        except DataError:
            if named:
                raise
            return False
        columns = {*schema.names}
        image = next((name for name in _IMAGE_COLUMNS if name in columns), None)
        if image is None or self.label not in columns or (self.label == "label" and "fine_label" in columns):
            return False
        kind = schema.field(image).type
        if not pa.types.is_struct(kind) or "bytes" not in [
            kind.field(i).name for i in range(kind.num_fields)
        ]:
            return False
        names = _class_names(schema.metadata or {}, self.label)
        if names is None:
            return named
        return tuple(self.misspelt.get(name, name) for name in names) == self.classes

    def _batch(self, images: pa.StructArray, labels: pa.Array, where: str, first: int) -> Batch:
        """Decode some rows; `first` is the number of the first of them, for messages."""
        if not pa.types.is_integer(labels.type) or labels.null_count:
            raise DataError(
                f"read {where} {first}", f"labels of type {labels.type}, or none", "Fetch it again"
            )
        arrays: list[NDArray[np.uint8]] = []
        jpeg = False
        for row, (cell, label) in enumerate(zip(images.to_pylist(), labels.to_pylist(), strict=True), first):
            content = None if cell is None else cell["bytes"]
            if not isinstance(content, bytes):
                raise DataError(
                    f"read {where} {row}", "the file does not hold it", "Take a copy that holds its pictures"
                )
            self._check_folder(cell.get("path"), label, f"{where} {row}")
            array = rgb(content, f"{where} {row}")
            if arrays and array.shape != arrays[0].shape:
                raise DataError(
                    f"read {where} {row}", f"shape {array.shape}, not {arrays[0].shape}", "Take another copy"
                )
            arrays.append(array)
            jpeg = jpeg or is_jpeg(content)
        stacked = np.stack(arrays)
        return Batch(stacked, np.array(labels, dtype=np.int64), (self.jpeg_note,) if jpeg else ())

    def _check_folder(self, path: str | None, label: int, where: str) -> None:
        """Refuse a picture whose path names another class: the copy's labels are in another order."""
        folder = PurePosixPath(path).parent.name if path else ""
        if folder in self.classes and self.classes.index(folder) != label:
            raise DataError(
                f"read {where}",
                f"its label is {label}, but it came from a folder {folder!r}",
                f"The labels must be those of {', '.join(self.classes[:3])}, ..., in this order",
            )


def _below(folder: Path, place: Path) -> tuple[str, ...]:
    return folder.relative_to(place).parts


def _whole(shards: list[Path]) -> tuple[Path, ...]:
    """Return the shards in order; refuse them where one is missing or they are of two copies."""
    names = [_SHARD.fullmatch(path.name) for path in shards]
    numbers = {int(shard["number"]) for shard in names if shard is not None}
    totals = {int(shard["total"]) for shard in names if shard is not None}
    if len(totals) != 1 or numbers != {*range(*totals)}:
        raise DataError(
            f"read the parquet files in {shards[0].parent}",
            f"{len(shards)} files, said to be one of {', '.join(map(str, sorted(totals)))}",
            "Put all the files of one copy there, and no others",
        )
    return tuple(sorted(shards))


def _class_names(metadata: Mapping[bytes, bytes], label: str) -> tuple[str, ...] | None:
    """Return the names that Hugging Face wrote beside the columns, None where it wrote none."""
    try:
        record = parse_object(metadata[b"huggingface"], Request("read its classes", "Fetch it again"))
        names: Any = record["info"]["features"][label]["names"]
    except (KeyError, TypeError, ArtefactError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None


def _request(shard: Path) -> Request:
    return Request(f"read {shard}", "Fetch it again", DataError)
