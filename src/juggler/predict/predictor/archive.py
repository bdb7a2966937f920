"""A predictor as one file: a zip of JSON and of arrays without objects. Reading it runs nobody's code."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from juggler.errors import ArtefactError, ConfigError, JugglerError
from juggler.files import write_atomically
from juggler.nouns import Machine
from juggler.predict.learning.learner import Arrays, joined, part
from juggler.predict.predictor.composition import Composition
from juggler.predict.predictor.intervals import Intervals
from juggler.predict.predictor.kernel_model import KernelModel

if TYPE_CHECKING:
    from juggler.predict.predictor.predictor import Predictor

P = TypeVar("P", bound="Predictor")

FORMAT = 3  # raised where what is kept would answer otherwise: up to 2, work was counted otherwise
KIND = "juggler predictor"
SUFFIX = ".predictor"
JSON, ARRAYS = "predictor.json", "arrays.npz"
EPOCH = (1980, 1, 1, 0, 0, 0)  # equal predictors are equal files
PLAIN = ("name", "backend", "release", "precision", "threads", "cache_bytes", "fitted_at")
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def save(predictor: Predictor, path: Path) -> Path:
    """Write a predictor, whole or not at all; return the path.

    Raises:
        ConfigError: it cannot be written, or was recalibrated: its correction belongs to this machine.
    """
    if predictor.corrected:
        remedy = "Save the predictor as it was loaded; corrections are kept by themselves"
        raise ConfigError(f"save {path}", "it is recalibrated for this machine", remedy)
    states = {family: model.to_state() for family, model in predictor.models.items()}
    fields = {
        "kind": KIND,
        "format": FORMAT,
        **{name: getattr(predictor, name) for name in PLAIN},
        "machine": predictor.machine.to_dict(),
        "models": {family: own for family, (own, _) in states.items()},
        "intervals": predictor.intervals.to_dict(),
        "composition": predictor.composition.to_dict(),
        "networks": predictor.networks.to_dict(),
        "report": dict(predictor.report),
    }
    arrays = io.BytesIO()
    np.savez(arrays, allow_pickle=False, **joined({family: own for family, (_, own) in states.items()}))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        text = json.dumps(fields, allow_nan=False, indent=1)
        for name, data in ((JSON, text.encode()), (ARRAYS, arrays.getvalue())):
            file.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED, 9)
    return write_atomically(path, content.getvalue())


def load(source: str | Path, cls: type[P]) -> P:
    """Read a predictor: a file, or the name of a device that ships with the package.

    Raises:
        ConfigError: no file and no such device; near names are shown.
        ArtefactError: no predictor, cut off, damaged or of another release.
    """
    path = Path(source)
    if path.is_file():
        return _read(path.read_bytes(), str(path), cls)
    if path.suffix == SUFFIX or len(path.parts) > 1:
        raise ArtefactError(f"read the predictor {path}", "no such file", "Name one that juggler fit wrote")
    wanted = str(source)
    if WORD.fullmatch(wanted) is None or wanted not in shipped():
        raise _unknown(wanted)
    with as_file(_folder() / f"{wanted}{SUFFIX}") as own:
        return _read(own.read_bytes(), wanted, cls)


def shipped() -> tuple[str, ...]:
    """Return the names of the devices that the package has a predictor of."""
    folder = _folder()
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


def _folder() -> Any:
    return files("juggler.predict") / "devices"


def _unknown(name: str) -> ConfigError:
    names = shipped()
    close = get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    there = ", ".join(names) if names else "none in this release"
    return ConfigError(
        f"find the device {name!r}",
        "neither a file nor a device that is known",
        f"{hint}Devices: {there}. Or measure one: juggler campaign, then juggler fit",
    )


def _read(content: bytes, what: str, cls: type[P]) -> P:
    asked = f"read the predictor {what}"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            fields = json.loads(file.read(JSON))
            _check(asked, fields)
            with np.load(io.BytesIO(file.read(ARRAYS)), allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
        return _restored(fields, arrays, cls)
    except JugglerError:
        raise
    except (zipfile.BadZipFile, zlib.error, KeyError, TypeError, ValueError, EOFError, OSError) as error:
        found_ = f"no predictor, or a damaged one ({type(error).__name__}: {error})"
        raise ArtefactError(asked, found_, "Copy it again, or write it anew: juggler fit") from error


def _check(asked: str, fields: Any) -> None:
    if not isinstance(fields, dict) or fields.get("kind") != KIND:
        raise ArtefactError(asked, "a file of something else", "Name one that juggler fit wrote")
    if fields.get("format") != FORMAT:
        found = f"format {fields.get('format')!r}, this release reads {FORMAT}"
        raise ArtefactError(asked, found, "Fit it again with this release, or update juggler")


def _restored(fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], cls: type[P]) -> P:
    models = {}
    for family, own in fields["models"].items():
        inside: Arrays = part(arrays, family)
        models[family] = KernelModel.from_state(family, own, inside)
    return cls(
        **{name: fields[name] for name in PLAIN},
        machine=Machine.from_dict(fields["machine"]),
        models=models,
        intervals=Intervals.from_dict(fields["intervals"]),
        composition=Composition.from_dict(fields["composition"]),
        networks=Intervals.from_dict(fields["networks"]),
        report=fields["report"],
    )
