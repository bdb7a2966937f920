"""Read the structure of an ONNX model and leave its weights where they are.

A model of 240 MB takes a second to parse, nearly all of it to copy weights, whose numbers have no part in how
long a network takes. This walks over the file's fields as they lie on the disk (protocol buffers: a key, a
length, the content) and steps over the content of large tensors.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from juggler.errors import ArtefactError

if TYPE_CHECKING:
    import onnx

Buffer: TypeAlias = "bytes | mmap.mmap"
KEPT_BYTES = 1024  # sizes, axes and limits are shorter than this, and weights that matter longer
GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9  # fields of ModelProto, GraphProto and TensorProto
CONTENT = frozenset({4, 5, 7, 9, 10, 11})  # the fields of TensorProto that hold its numbers
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def read_structure(graph: Path | bytes) -> onnx.ModelProto:
    """Return the model with every tensor of more than 1 KiB emptied: dims, type and name stay.

    External data are not opened.

    Raises:
        ArtefactError: the file is missing, cut off, or no ONNX model.
    """
    try:
        if isinstance(graph, bytes):
            return _parsed(graph, 0, len(graph))
        with (
            Path(graph).open("rb") as file,
            closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as mapped,
        ):
            return _parsed(mapped, 0, len(mapped))
    except (OSError, ValueError, IndexError) as error:  # an empty file cannot be mapped
        raise _unread(graph, str(error)) from error


def with_tensors(model: bytes, tensors: Iterable[tuple[str, list[int], int, bytes]]) -> bytes:
    """Return a serialised model with constants added: name, dims, ONNX's element type and content of each.

    What is appended to a message of protocol buffers is merged into it, so no weight is copied twice.
    """
    import onnx  # noqa: PLC0415  # heavy

    pieces = [model]
    for name, dims, kind, content in tensors:
        head = onnx.TensorProto(name=name, dims=dims, data_type=kind).SerializeToString()
        head += _key(RAW_DATA) + _varint(len(content))
        size = len(head) + len(content)
        inner = _key(INITIALIZER) + _varint(size)
        pieces += [_key(GRAPH) + _varint(len(inner) + size) + inner + head, content]
    return b"".join(pieces)


def _parsed(buffer: Buffer, start: int, end: int) -> onnx.ModelProto:
    import onnx  # noqa: PLC0415  # heavy
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # noqa: PLC0415

    kept = bytearray()
    for field, at, inside, after in _fields(buffer, start, end):
        if field == GRAPH:
            slim = _slim_graph(buffer, inside, after)
            kept += _key(GRAPH) + _varint(len(slim)) + slim
        else:
            kept += buffer[at:after]
    try:
        model = onnx.ModelProto.FromString(bytes(kept))
    except DecodeError as error:
        raise ValueError("no protocol buffer of a model") from error
    if not model.graph.node:
        raise ValueError("a graph without a node")
    return model


def _slim_graph(buffer: Buffer, start: int, end: int) -> bytes:
    kept = bytearray()
    for field, at, inside, after in _fields(buffer, start, end):
        if field == INITIALIZER and after - inside > KEPT_BYTES:
            slim = _slim_tensor(buffer, inside, after)
            kept += _key(INITIALIZER) + _varint(len(slim)) + slim
        else:
            kept += buffer[at:after]
    return bytes(kept)


def _slim_tensor(buffer: Buffer, start: int, end: int) -> bytes:
    fields = _fields(buffer, start, end)
    return b"".join(buffer[at:after] for field, at, _, after in fields if field not in CONTENT)


def _fields(buffer: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield each field's number, where it begins, where its content begins, and where it ends.

    Raises:
        ValueError: it does not end within the message.
    """
    at = start
    while at < end:
        key, inside = _number(buffer, at, end)
        kind = key & 7
        if kind == LENGTH:
            length, inside = _number(buffer, inside, end)
            after = inside + length
        elif kind == VARINT:
            after = _number(buffer, inside, end)[1]
        elif kind in (FIXED64, FIXED32):
            after = inside + (8 if kind == FIXED64 else 4)
        else:
            raise ValueError("no protocol buffer")
        if after > end:
            raise ValueError("it is cut off")
        yield key >> 3, at, inside, after
        at = after


def _number(buffer: Buffer, at: int, end: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    value = shift = 0
    while at < end and shift < 64:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("it is cut off")


def _key(field: int) -> bytes:
    return bytes([field << 3 | LENGTH])


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _unread(graph: Path | bytes, found: str) -> ArtefactError:
    what = "ONNX bytes" if isinstance(graph, bytes) else str(graph)
    return ArtefactError(f"read the structure of {what}", found, "Give an ONNX model, written whole")
