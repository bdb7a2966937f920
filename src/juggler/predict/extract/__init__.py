"""The kernels that a runtime really runs, extracted from its optimised graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.predict.extract.kernels import READERS, ExtractedKernels, extract_kernels

__all__ = [
    "READERS",
    "ExtractedKernels",
    "extract_kernels",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.predict.extract.kernels": ["READERS", "ExtractedKernels", "extract_kernels"],
    },
)
