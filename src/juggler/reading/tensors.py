"""safetensors files: the header is checked before anything is mapped, and the tensors lie as it says."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from juggler.reading.content import MIB, open_plain
from juggler.reading.documents import DocumentLimits, parse_object
from juggler.reading.request import Request

if TYPE_CHECKING:
    from torch import Tensor

_LENGTH_BYTES = 8
_HEADER = DocumentLimits(size=16 * MIB, depth=3)
_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
_AXES, _MAX_SIZE = 16, 1 << 40


@dataclass(frozen=True)
class TensorHeader:
    """What a safetensors file says of itself.

    Attributes:
        metadata: texts by name, as who wrote it left them.
        names: of the tensors.
        size: bytes of all tensors.
    """

    metadata: dict[str, str]
    names: tuple[str, ...]
    size: int


def read_tensor_header(path: Path, request: Request) -> TensorHeader:
    """Return a file's header, once the tensors fill the rest of the file without a gap or an overlap.

    Raises:
        JugglerError: of the request's kind: the file is none, or its header lies.
    """
    with open_plain(path, request) as file, request.refusing("whole safetensors file"):
        file_size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if not 2 <= length <= min(_HEADER.size, file_size - _LENGTH_BYTES):
            raise ValueError(f"a header of {length:,} bytes in a file of {file_size:,}")
        fields = parse_object(file.read(length), request, _HEADER)
        metadata = fields.pop("__metadata__", {})
        texts = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
        if not texts:
            raise ValueError("metadata that are no texts")
        end = 0
        spans = sorted(_span(name, record) for name, record in fields.items())
        for start, stop, name in spans:
            if start != end:
                raise ValueError(f"the tensor {name[:80]!r} begins at {start}, where {end} is due")
            end = stop
        if end != file_size - _LENGTH_BYTES - length:
            raise ValueError(f"tensors of {end:,} bytes in {file_size - _LENGTH_BYTES - length:,}")
        return TensorHeader(metadata, tuple(fields), end)


def read_safetensors(path: Path, request: Request) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file by name, on the CPU, and its metadata.

    Raises:
        JugglerError: of the request's kind: see `read_tensor_header`.
    """
    import safetensors  # noqa: PLC0415  # heavy, as is the torch that it brings

    header = read_tensor_header(path, request)
    try:
        with (
            request.refusing("whole safetensors file"),
            safetensors.safe_open(str(path), framework="pt", device="cpu") as file,
        ):
            return {name: file.get_tensor(name) for name in header.names}, header.metadata
    except safetensors.SafetensorError as error:
        raise request.refusal(f"no whole safetensors file ({error})") from error


def _span(name: str, record: Any) -> tuple[int, int, str]:
    """Return where a tensor begins and ends, and its name."""
    if not isinstance(record, dict) or set(record) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the tensor {name[:80]!r} without an element type, a shape or a place")
    element, shape, offsets = record["dtype"], record["shape"], record["data_offsets"]
    if not isinstance(element, str) or element not in _BITS:
        raise ValueError(f"the tensor {name[:80]!r} of {str(element)[:20]!r} elements")
    if not _are_sizes(shape) or len(shape) > _AXES or not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"the tensor {name[:80]!r} of a shape or at a place that makes no sense")
    start, stop = offsets
    if stop - start != math.prod(shape) * _BITS[element] // 8:
        raise ValueError(f"the tensor {name[:80]!r} with {stop - start:,} bytes for its shape")
    return start, stop, name


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value <= _MAX_SIZE for value in values
    )
