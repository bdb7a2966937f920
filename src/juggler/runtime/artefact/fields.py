"""What an artefact holds besides its graph, and how it is written as metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal, Self

from juggler.checks import refuse_faults
from juggler.data import Encoder, Schema
from juggler.errors import ArtefactError
from juggler.nouns import Certificate
from juggler.reading.documents import parse_json
from juggler.reading.request import Request

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
