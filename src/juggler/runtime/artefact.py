"""The artefact: one ONNX file that holds a detector whole.

The network is the graph; everything else that detection needs travels as text in the file's metadata, under
keys that begin with `juggler.`:

    juggler.format       version of this layout, an integer
    juggler.name         the network's name
    juggler.form         `flat` or `wide`
    juggler.schema       JSON: the columns of a record
    juggler.encoder      JSON: how a record becomes the network's input
    juggler.classes      JSON: names of the outputs, the normal class first
    juggler.threshold    score from which on a record is an alarm
    juggler.certificate  JSON: the proof that flat and wide are equal, or null
    juggler.provenance   JSON: data set digests, recipe, seed, scores on validation, release
    juggler.sha256       digest of the graph and of all metadata but itself

The network's output is logits, `[n, classes]`. The digest finds damage, not malice: who can change the
file can change the digest. Neither torch nor onnx is needed to read or write artefacts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal, Self

from juggler.checks import refuse_faults
from juggler.data import Encoder, Schema
from juggler.errors import ArtefactError, ConfigError
from juggler.files import write_atomically
from juggler.nouns import Certificate
from juggler.packages import release_of
from juggler.reading.documents import parse_json
from juggler.reading.request import Request
from juggler.runtime.onnx_graphs.metadata import join, split
from juggler.runtime.session import BACKENDS, Session, Source

FORMAT = 1
PREFIX = "juggler."
REMAKE = "Make it again with `juggler train`, or copy it again"


@dataclass(frozen=True)
class Fields:
    """What an artefact holds besides its graph; checked when made.

    Attributes:
        name: the network's name.
        form: `flat` or `wide`.
        schema: the columns of a record.
        encoder: how a record becomes the network's input.
        classes: names of the outputs, the normal class first.
        threshold: score from which on a record is an alarm, 0 to 1.
        certificate: the proof that flat and wide are equal, where there is one.
        provenance: data set digests, recipe, seed, scores on validation; plain JSON values.
    """

    name: str
    form: Literal["flat", "wide"]
    schema: Schema
    encoder: Encoder
    classes: tuple[str, ...]
    threshold: float
    certificate: Certificate | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        paths = [text for text in _texts(self.provenance) if _is_absolute(text)]
        refuse_faults(
            "describe an artefact",
            {
                "no name": not self.name,
                f"the form {self.form!r}": self.form not in ("flat", "wide"),
                f"the classes {list(self.classes)}": len({*self.classes}) != len(self.classes)
                or len(self.classes) < 2,
                f"the threshold {self.threshold}": not 0.0 <= self.threshold <= 1.0,
                f"a path of this machine in the provenance, {paths[:1]}": bool(paths),
            },
            "Give a name, `flat` or `wide`, two or more different classes, a threshold from 0 to 1, "
            "and a provenance without paths",
        )

    def to_metadata(self) -> dict[str, str]:
        """Return the fields as texts, by metadata key."""
        return {
            "juggler.format": str(FORMAT),
            "juggler.name": self.name,
            "juggler.form": self.form,
            "juggler.schema": _json(self.schema.to_dict()),
            "juggler.encoder": _json(self.encoder.to_dict()),
            "juggler.classes": _json(list(self.classes)),
            "juggler.threshold": repr(float(self.threshold)),
            "juggler.certificate": _json(self.certificate.to_dict() if self.certificate else None),
            "juggler.provenance": _json(dict(self.provenance)),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Read the fields back.

        Raises:
            ArtefactError: a key is missing, or its text is not what it should be.
            ConfigError: a value is out of range.
        """
        form = _get(metadata, "form")
        certificate = _parsed(metadata, "certificate")
        try:
            threshold = float(_get(metadata, "threshold"))
        except ValueError as error:
            raise ArtefactError("read juggler.threshold", f"{error}", REMAKE) from error
        return cls(
            name=_get(metadata, "name"),
            form="flat" if form == "flat" else "wide" if form == "wide" else form,  # type: ignore[arg-type]
            schema=Schema.from_dict(_parsed(metadata, "schema")),
            encoder=Encoder.from_dict(_parsed(metadata, "encoder")),
            classes=tuple(_parsed(metadata, "classes")),
            threshold=threshold,
            certificate=Certificate.from_dict(certificate) if certificate else None,
            provenance=_parsed(metadata, "provenance"),
        )


def _get(metadata: Mapping[str, str], key: str) -> str:
    if PREFIX + key not in metadata:
        raise ArtefactError(f"read {PREFIX}{key}", f"{PREFIX}{key} is missing", REMAKE)
    return metadata[PREFIX + key]


def _parsed(metadata: Mapping[str, str], key: str) -> Any:
    return parse_json(_get(metadata, key), Request(f"read {PREFIX}{key}", REMAKE))


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _texts(value: Any) -> list[str]:
    """Return all texts within nested JSON values."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [text for part in value for text in _texts(part)] if isinstance(value, list | tuple) else []


def _is_absolute(text: str) -> bool:
    return PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


DIGEST = "juggler.sha256"


@dataclass(frozen=True, eq=False)
class Artefact:
    """A detector as one file, read and checked; its network is opened on first use and then kept."""

    path: Path
    fields: Fields
    graph: bytes = field(repr=False)
    sha256: str
    threads: int | None = None

    @classmethod
    def load(cls, path: str | Path, *, threads: int | None = None) -> Self:
        """Read an artefact and check it against its digest.

        Args:
            path: the file.
            threads: cores that one call of `session` may use; None leaves it to ONNX Runtime.

        Raises:
            ArtefactError: missing, empty, cut short, damaged, no ONNX, plain ONNX, or of a newer format.
        """
        path = Path(path)
        graph = _read(path)
        try:
            rest, metadata = split(graph)
            _check_format(metadata)
            if metadata.get(DIGEST) != _digest(rest, metadata):
                raise ArtefactError("compare the digest", "the file was changed after it was written", REMAKE)
            fields = Fields.from_metadata(metadata)
        except (ArtefactError, ConfigError) as error:
            raise ArtefactError(f"load the artefact {path}", error.found, error.remedy) from error
        return cls(path, fields, graph, metadata[DIGEST], threads)

    @property
    def name(self) -> str:
        """Return the network's name."""
        return self.fields.name

    @property
    def schema(self) -> Schema:
        """Return the columns of a record."""
        return self.fields.schema

    @property
    def encoder(self) -> Encoder:
        """Return what makes the network's input of records."""
        return self.fields.encoder

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the outputs, the normal class first."""
        return self.fields.classes

    @property
    def threshold(self) -> float:
        """Return the score from which on a record is an alarm."""
        return self.fields.threshold

    @cached_property
    def session(self) -> Session:
        """Return the network on ONNX Runtime; opened once.

        Raises:
            ArtefactError: ONNX Runtime cannot run it, or its ends do not fit the encoder and the classes.
        """
        return _open(self.graph, self.fields, str(self.path), self.threads)

    def describe(self) -> dict[str, Any]:
        """Return what there is to know, as plain values; what `juggler info` prints."""
        certificate, schema = self.fields.certificate, self.fields.schema
        return {
            "name": self.name,
            "form": self.fields.form,
            "format": FORMAT,
            "file": self.path.name,
            "file_bytes": len(self.graph),
            "sha256": self.sha256,
            "inputs": [spec.to_dict() for spec in self.session.inputs],
            "outputs": [spec.to_dict() for spec in self.session.outputs],
            "schema": {"name": schema.name, "version": schema.version, "columns": len(schema.columns)},
            "encoder": {"shape": list(self.encoder.shape)},
            "classes": list(self.classes),
            "threshold": self.threshold,
            "certificate": None if certificate is None else _summary(certificate),
            "provenance": dict(self.fields.provenance),
        }


def write(path: str | Path, graph: bytes, fields: Fields) -> Artefact:
    """Write a graph and its fields as an artefact, whole or not at all, and return it.

    Raises:
        ArtefactError: the graph is no ONNX model, or its ends do not fit the encoder and the classes.
        ConfigError: the file cannot be written.
    """
    path = Path(path)
    _open(graph, fields, "the graph", threads=1).close()
    rest, metadata_before = split(graph)
    release = {"juggler": release_of("juggler")}
    provenance = {**fields.provenance, "created_by": fields.provenance.get("created_by", release)}
    metadata = {key: text for key, text in metadata_before.items() if not key.startswith(PREFIX)}
    metadata |= Fields(**{**vars(fields), "provenance": provenance}).to_metadata()
    metadata[DIGEST] = _digest(rest, metadata)
    write_atomically(path, join(rest, metadata))
    return Artefact.load(path)


def seal(graph: bytes) -> bytes:
    """Return an artefact's bytes with the digest of what they hold now; for who has changed them."""
    rest, metadata = split(graph)
    return join(rest, metadata | {DIGEST: _digest(rest, metadata)})


def _open(graph: bytes, fields: Fields, what: str, threads: int | None) -> Session:
    """Open the network and see that it takes what the encoder gives, and gives a logit a class."""
    session = BACKENDS.get("onnxruntime").open(Source(graph=graph), threads=threads)
    takes = [spec.shape[1:] for spec in session.inputs]
    gives = [spec.shape[1:] for spec in session.outputs]
    if takes != [tuple(fields.encoder.shape)] or gives != [(len(fields.classes),)]:
        session.close()
        raise ArtefactError(
            f"open the network of {what}",
            f"it takes {takes} and gives {gives}, the encoder makes {tuple(fields.encoder.shape)}, "
            f"there are {len(fields.classes)} classes",
            "Export the network together with its own encoder and classes",
        )
    return session


def _read(path: Path) -> bytes:
    action = f"load the artefact {path}"
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ArtefactError(action, "there is no such file", "Make one with `juggler train`") from error
    except OSError as error:
        raise ArtefactError(action, f"it cannot be read ({error.strerror})", "Give an .onnx file") from error
    if not content:
        raise ArtefactError(action, "the file is empty", REMAKE)
    return content


def _check_format(metadata: Mapping[str, str]) -> None:
    action = "read juggler.format"
    text = metadata.get("juggler.format")
    if text is None:
        raise ArtefactError(
            action,
            "it has no juggler metadata: a plain ONNX model, or another kind of file",
            "Make an artefact with `juggler train`, or of a graph with juggler.runtime.artefact.write",
        )
    if not text.isdecimal():
        raise ArtefactError(action, f"the format is {text!r}", REMAKE)
    if int(text) > FORMAT:
        raise ArtefactError(
            action,
            f"it has format {text}, this release reads up to {FORMAT}",
            "Upgrade juggler: pip install --upgrade juggler",
        )


def _digest(rest: bytes, metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of the graph, then of keys and texts in order, each with its length before it."""
    digest = hashlib.sha256(rest)
    for key in sorted(set(metadata) - {DIGEST}):
        for text in (key.encode(), metadata[key].encode()):
            digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()


def _summary(certificate: Certificate) -> dict[str, Any]:
    return {
        "passed": certificate.passed,
        "checks": len(certificate.checks),
        "worst": {dtype: certificate.worst(dtype) for dtype in certificate.limits},
        "limits": dict(certificate.limits),
        "classes_agreed": certificate.classes_agreed,
        "classes_compared": certificate.classes_compared,
        "wide_sha256": certificate.wide_sha256,
        "flat_sha256": certificate.flat_sha256,
        "int8": None if certificate.int8 is None else certificate.int8.to_dict(),
    }


def shipped(name: str) -> Path:
    """Return the path of a shipped file, such as `nsl_kdd.onnx` or `nsl_kdd.safetensors`.

    Raises:
        ArtefactError: the package holds no such file.
    """
    folder = Path(str(resources.files("juggler"))) / "shipped"
    path = folder / name
    if not path.is_file():
        there = sorted(item.name for item in folder.glob("*") if not item.name.startswith("_"))
        raise ArtefactError(
            f"open the shipped {name}",
            "the package does not hold it",
            f"Reinstall juggler. It holds: {', '.join(there) or 'nothing'}",
        )
    return path
