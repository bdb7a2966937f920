"""Int8: graphs quantised by a tool, and proved near enough to float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.runtime.int8.certified import Budget, Quantized, quantize_certified, read_record
    from juggler.runtime.int8.quantization import QUANTIZERS, Quantizer, quantize

__all__ = [
    "QUANTIZERS",
    "Budget",
    "Quantized",
    "Quantizer",
    "quantize",
    "quantize_certified",
    "read_record",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.runtime.int8.certified": ["Budget", "Quantized", "quantize_certified", "read_record"],
        "juggler.runtime.int8.quantization": ["QUANTIZERS", "Quantizer", "quantize"],
    },
)
