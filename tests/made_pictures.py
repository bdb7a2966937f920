"""Small copies of the picture sets, made up, in every form in which the real ones come."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-incomplete-defs=False
from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from juggler.data import Source
from juggler.data.sets._cifar import Cifar, Form
from juggler.data.sets.cifar10 import SET as CIFAR10
from juggler.data.sets.cifar100 import SET as CIFAR100

KINDS = ("binary", "python")


def drawn(count, classes, seed=0, size=32):
    """Return noise `[count, 3, size, size]` and labels that go round the classes, every one at least once."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return images, rng.permutation(np.arange(count) % classes)


def parts_of(cifar: Cifar, train=None, test=None):
    """Return images and labels of both parts, small."""
    n = len(cifar.classes)
    return {"train": train or drawn(3 * n, n, seed=1), "test": test or drawn(n, n, seed=2)}


def form_of(cifar: Cifar, kind: str) -> Form:
    return next(form for form in cifar.forms if form.kind == kind)


def official_files(cifar: Cifar, kind: str, parts=None) -> dict[str, bytes]:
    """Return the files of an official form by name, the pictures spread over those of a part in order."""
    form, parts = form_of(cifar, kind), parts or parts_of(cifar)
    files = {form.names: _names(cifar, kind)}
    for part, (images, labels) in parts.items():
        shares = zip(
            form.parts[part],
            np.array_split(images, len(form.parts[part])),
            np.array_split(labels, len(form.parts[part])),
            strict=True,
        )
        files |= {name: _official(cifar, kind, *share) for name, *share in shares}
    return files


def _names(cifar, kind):
    if kind == "binary":
        return ("\n".join(cifar.classes) + "\n\n").encode()
    layout: Any = form_of(cifar, kind).layout
    key = layout.names
    return python2({key: list(cifar.classes), "num_vis": 3072})


def _official(cifar, kind, images, labels):
    coarse = (labels // 5).astype(np.uint8)
    if kind == "binary":
        before = [coarse[:, None]] if cifar is CIFAR100 else []
        rows = [*before, labels.astype(np.uint8)[:, None], images.reshape(len(images), -1)]
        return np.hstack(rows).tobytes()
    layout: Any = form_of(cifar, kind).layout
    key = layout.labels
    more = {"coarse_labels": coarse.tolist()} if cifar is CIFAR100 else {}
    return python2(
        {
            "batch_label": "training batch 1 of 5",
            key: labels.tolist(),
            **more,
            "data": images.reshape(len(images), -1),
            "filenames": [f"picture_{i}.png" for i in range(len(images))],
        }
    )


def packed(files: Mapping[str, bytes], folder: str = "") -> bytes:
    """Return a .tar.gz of the files, in reverse order, as the real one has its batches mixed up."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in reversed([*files.items()]):
            member = tarfile.TarInfo(f"{folder}/{name}" if folder else name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(content.getvalue(), compresslevel=1)


def write_archive(folder: Path, cifar: Cifar, kind: str, parts=None) -> Path:
    form = form_of(cifar, kind)
    path = folder / form.archive.name
    path.write_bytes(packed(official_files(cifar, kind, parts), form.folder))
    return path


def write_unpacked(folder: Path, cifar: Cifar, kind: str, parts=None) -> Path:
    home = folder / form_of(cifar, kind).folder
    home.mkdir()
    for name, data in official_files(cifar, kind, parts).items():
        (home / name).write_bytes(data)
    return home


def compressed(image, kind="PNG", **options) -> bytes:
    """Return one picture `[3, H, W]` as a file."""
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(content, kind, **options)
    return content.getvalue()


def table(cells: Sequence[bytes | None], labels: Sequence[int], column="img", label="label", paths=None):
    """Return a table as Hugging Face writes it."""
    struct_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    paths = paths or [f"{i}.png" for i in range(len(cells))]
    rows = [{"bytes": cell, "path": path} for cell, path in zip(cells, paths, strict=True)]
    return pa.table({column: pa.array(rows, struct_type), label: pa.array(labels, pa.int64())})


def write_parquet(folder: Path, cifar: Cifar, parts=None, shards=1, kind="PNG", **options) -> Path:
    """Write the parts as parquet into a folder named as the set is."""
    home = folder / cifar.name
    home.mkdir(exist_ok=True)
    for part, (images, labels) in (parts or parts_of(cifar)).items():
        for i, rows in enumerate(np.array_split(np.arange(len(labels)), shards)):
            cells = [compressed(image, kind) for image in images[rows]]
            made = table(cells, labels[rows].tolist(), label=cifar.parquet.label, **options)
            parquet.write_table(made, home / f"{part}-{i:05}-of-{shards:05}.parquet")
    return home


def write_folder(root: Path, layout: Mapping[str, int], size=8, suffix=".png") -> Path:
    """Write so many pictures into each folder, such as {"train/cat": 4}."""
    for number, (name, count) in enumerate(layout.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        images, _ = drawn(count, 1, seed=number, size=size)
        for i, image in enumerate(images):
            kind = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"}[suffix]
            (root / name / f"{i:03}{suffix}").write_bytes(compressed(image, kind))
    return root


def _stock_folder(folder: Path) -> Source:
    write_folder(folder / "pictures", {"train/cat": 6, "train/dog": 6, "test/cat": 2, "test/dog": 2})
    return Source(folder=folder / "pictures", cache=folder / "cache", offline=True)


def _stock(cifar: Cifar) -> Callable[[Path], Source]:
    def stock(folder: Path) -> Source:
        (folder / "data").mkdir()
        write_archive(folder / "data", cifar, "binary")
        return Source(folder=folder / "data", cache=folder / "cache", offline=True, allow_modified=True)

    return stock


STOCK = {"cifar10": _stock(CIFAR10), "cifar100": _stock(CIFAR100), "image_folder": _stock_folder}
"""Writes a small copy of a picture set into a folder and returns where to look for it."""


def python2(value: object) -> bytes:
    """Return a value as Python 2 pickled it, with numpy 1: text and arrays as strings of bytes."""
    return b"\x80\x02" + _Writer().value(value) + b"."


class _Writer:
    def __init__(self) -> None:
        self.kept = 0

    def keep(self) -> bytes:
        self.kept += 1
        return b"q" + bytes([self.kept]) if self.kept < 256 else b"r" + struct.pack("<I", self.kept)

    def value(self, value: Any) -> bytes:
        if isinstance(value, dict):
            items = b"".join(self.value(key) + self.value(one) for key, one in value.items())
            return b"}" + self.keep() + b"(" + items + b"u"
        if isinstance(value, list):
            return b"]" + self.keep() + b"(" + b"".join(map(self.value, value)) + b"e"
        if isinstance(value, int):
            forms = ((256, b"K", "<B"), (1 << 16, b"M", "<H"), (1 << 31, b"J", "<i"))
            return next(code + struct.pack(form, value) for most, code, form in forms if value < most)
        if isinstance(value, np.ndarray):
            return self.array(value)
        return self.text(value.encode("latin-1"))

    def text(self, text: bytes) -> bytes:
        short = len(text) < 256
        return (
            (b"U" + bytes([len(text)]) if short else b"T" + struct.pack("<i", len(text))) + text + self.keep()
        )

    def array(self, array: Any) -> bytes:
        made = b"cnumpy.core.multiarray\n_reconstruct\n" + self.keep() + b"cnumpy\nndarray\n" + self.keep()
        made += b"K\x00\x85" + self.keep() + self.text(b"b") + b"\x87" + self.keep() + b"R" + self.keep()
        shape = b"(" + b"".join(map(self.value, array.shape)) + b"t" + self.keep()
        element = b"cnumpy\ndtype\n" + self.keep() + self.text(b"u1") + b"K\x00K\x01\x87" + self.keep() + b"R"
        element += self.keep() + b"(K\x03" + self.text(b"|") + b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00t"
        element += self.keep() + b"b"
        content = self.text(array.tobytes())
        return made + b"(K\x01" + shape + element + b"\x89" + content + b"t" + self.keep() + b"b"


def is_a_real_pickle(content: bytes) -> object:
    """Return what Python itself makes of a pickle that this file wrote: the proof that it is one."""
    return pickle.loads(content, encoding="latin1")  # noqa: S301  # written just before
