"""Read the structure of an ONNX model and leave its weights where they are.

A model of 240 MB takes a second to parse, nearly all of it to copy weights, whose numbers have no part in how
long a network takes. This walks over the file's fields as they lie on the disk and steps over the content of
large tensors.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from juggler.reading.content import open_plain
from juggler.reading.messages import Buffer, field, fields, head
from juggler.reading.onnx_files import check_onnx
from juggler.reading.request import Request

if TYPE_CHECKING:
    import onnx

_REMEDY = "Give an ONNX model, written whole"
SMALL_BYTES = 1024  # sizes, axes and limits are shorter than this, and weights that matter longer
GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9  # fields of ModelProto, GraphProto and TensorProto
CONTENT = frozenset({4, 5, 7, 9, 10, 11})  # the fields of TensorProto that hold its numbers


def read_structure(graph: Path | bytes) -> onnx.ModelProto:
    """Return the model with every tensor of more than 1 KiB emptied: dims, type and name stay.

    External data are not opened.

    Raises:
        ArtefactError: the file is missing, cut off, or no ONNX model.
    """
    request = Request(f"read the structure of {_name(graph)}", _REMEDY)
    check_onnx(graph, request)
    try:
        if isinstance(graph, bytes):
            return _parse(graph)
        with (
            open_plain(graph, request) as file,
            closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as mapped,
        ):
            return _parse(mapped)
    except (OSError, ValueError) as error:
        raise request.refusal(str(error)) from error


def with_tensors(model: bytes, tensors: Iterable[tuple[str, list[int], int, bytes]]) -> bytes:
    """Return a serialised model with constants added: name, dims, ONNX's element type and content of each.

    What is appended to a message of protocol buffers is merged into it, so no weight is copied twice.
    """
    import onnx  # noqa: PLC0415  # heavy

    pieces = [model]
    for name, dims, kind, content in tensors:
        tensor = onnx.TensorProto(name=name, dims=dims, data_type=kind).SerializeToString()
        tensor += head(RAW_DATA, len(content))
        initializer = head(INITIALIZER, len(tensor) + len(content)) + tensor
        pieces += [head(GRAPH, len(initializer) + len(content)) + initializer, content]
    return b"".join(pieces)


def _parse(buffer: Buffer) -> onnx.ModelProto:
    import onnx  # noqa: PLC0415  # heavy
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # noqa: PLC0415

    slim = bytearray()
    for number, begin, inside, after in fields(buffer):
        slim += field(GRAPH, _slim_graph(buffer, inside, after)) if number == GRAPH else buffer[begin:after]
    try:
        model = onnx.ModelProto.FromString(bytes(slim))
    except DecodeError as error:
        raise ValueError("no protocol buffer of a model") from error
    if not model.graph.node:
        raise ValueError("a graph without a node")
    return model


def _slim_graph(buffer: Buffer, start: int, end: int) -> bytes:
    slim = bytearray()
    for number, begin, inside, after in fields(buffer, start, end):
        if number == INITIALIZER and after - inside > SMALL_BYTES:
            slim += field(INITIALIZER, _slim_tensor(buffer, inside, after))
        else:
            slim += buffer[begin:after]
    return bytes(slim)


def _slim_tensor(buffer: Buffer, start: int, end: int) -> bytes:
    parts = fields(buffer, start, end)
    return b"".join(buffer[begin:after] for number, begin, _, after in parts if number not in CONTENT)


def _name(graph: Path | bytes) -> str:
    return "ONNX bytes" if isinstance(graph, bytes) else str(graph)
