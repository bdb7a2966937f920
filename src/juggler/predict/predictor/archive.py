"""A predictor as one file: a zip of JSON and of arrays without objects. Reading it runs nobody's code.

What the fields and arrays mean is for the predictor to say.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from juggler.arrays import Arrays
from juggler.errors import ArtefactError, ConfigError
from juggler.files import write_atomically
from juggler.reading.arrays import read_npz
from juggler.reading.content import read_content
from juggler.reading.documents import parse_object
from juggler.reading.request import Request
from juggler.reading.zips import ZIP_LIMITS, open_zip

FORMAT = 3  # raised where what is kept would answer otherwise: up to 2, work was counted otherwise
KIND = "juggler predictor"
SUFFIX = ".predictor"
JSON, ARRAYS = "predictor.json", "arrays.npz"
EPOCH = (1980, 1, 1, 0, 0, 0)  # equal predictors are equal files
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def write_archive(path: Path, fields: Mapping[str, Any], arrays: Arrays) -> Path:
    """Write JSON values and arrays, whole or not at all; return the path.

    Raises:
        ConfigError: it cannot be written.
    """
    text = json.dumps({"kind": KIND, "format": FORMAT, **fields}, allow_nan=False, indent=1)
    npz = io.BytesIO()
    np.savez(npz, allow_pickle=False, **arrays)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in ((JSON, text.encode()), (ARRAYS, npz.getvalue())):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED, 9)
    return write_atomically(path, content.getvalue())


def read_archive(source: str | Path, devices: Path | None = None) -> tuple[dict[str, Any], Arrays]:
    """Read the fields and arrays of a file, or of a device by its name.

    Args:
        source: the path, or the name.
        devices: folder of the named devices; None is that of the package.

    Raises:
        ConfigError: no file and no such device; near names are shown.
        ArtefactError: no predictor, cut off, damaged or of another release.
    """
    content = _content(source, devices)
    request = _request(source)
    with open_zip(content, request) as archive:
        fields = parse_object(archive.read(JSON), request)
        _check_kind(f"read the predictor {source}", fields)
        return fields, read_npz(archive.read(ARRAYS), request)


@contextmanager
def damage_reported(source: str | Path) -> Iterator[None]:
    """Say of a file what is wrong with it, where its fields and arrays do not hold together.

    Raises:
        ArtefactError: anything that a damaged file makes go wrong.
    """
    with _request(source).refusing("predictor, or a damaged one"):
        yield


def _request(source: str | Path) -> Request:
    return Request(f"read the predictor {source}", "Copy it again, or write it anew: juggler fit")


def shipped(devices: Path | None = None) -> tuple[str, ...]:
    """Return the names of the devices that the package has a predictor of."""
    folder = devices or _package_folder()
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


def _content(source: str | Path, devices: Path | None) -> bytes:
    path, name = Path(source), str(source)
    if path.is_file():
        return read_content(path, _request(source), ZIP_LIMITS.size)
    if path.suffix == SUFFIX or len(path.parts) > 1:
        raise ArtefactError(f"read the predictor {path}", "no such file", "Name one that juggler fit wrote")
    if WORD.fullmatch(name) is None or name not in shipped(devices):
        raise _unknown_device(name, shipped(devices))
    return ((devices or _package_folder()) / f"{name}{SUFFIX}").read_bytes()


def _package_folder() -> Traversable:
    return files("juggler.predict") / "devices"


def _unknown_device(name: str, names: tuple[str, ...]) -> ConfigError:
    close = get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    known = ", ".join(names) if names else "none in this release"
    return ConfigError(
        f"find the device {name!r}",
        "neither a file nor a device that is known",
        f"{hint}Devices: {known}. Or measure one: juggler campaign, then juggler fit",
    )


def _check_kind(action: str, fields: Any) -> None:
    if not isinstance(fields, dict) or fields.get("kind") != KIND:
        raise ArtefactError(action, "a file of something else", "Name one that juggler fit wrote")
    if fields.get("format") != FORMAT:
        text = f"format {fields.get('format')!r}, this release reads {FORMAT}"
        raise ArtefactError(action, text, "Fit it again with this release, or update juggler")
