"""The artefact: one ONNX file that holds a detector whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.runtime.artefact.fields import Fields
    from juggler.runtime.artefact.file import Artefact, seal, write

__all__ = [
    "Artefact",
    "Fields",
    "seal",
    "write",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.runtime.artefact.fields": ["Fields"],
        "juggler.runtime.artefact.file": ["Artefact", "seal", "write"],
    },
)
