"""ONNX files: their messages are counted before any is made, for a message of two bytes takes a hundred."""

from __future__ import annotations

import mmap
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from juggler.reading.content import open_plain
from juggler.reading.messages import Buffer, fields
from juggler.reading.request import Request

if TYPE_CHECKING:
    import onnx

MOST_FIELDS = 500_000
"""Fields of all messages that hold others: a network of ten thousand nodes has two hundred thousand."""
DEPTH = 80
"""Messages within each other; protocol buffers themselves end at a hundred."""

_Messages = dict[int, Any]  # by number, the table of the message's own fields, which may be the same one
_TYPE: _Messages = {}
_TENSOR_TYPE: _Messages = {2: {1: {}}}
_TYPE |= {1: _TENSOR_TYPE, 4: {1: _TYPE}, 5: {2: _TYPE}, 7: {}, 8: _TENSOR_TYPE, 9: {1: _TYPE}}
_VALUE: _Messages = {2: _TYPE, 4: {}}
_TENSOR: _Messages = {3: {}, 13: {}, 16: {}}
_SPARSE = {1: _TENSOR, 2: _TENSOR}
_GRAPH: _Messages = {}
_ATTRIBUTE = {
    **{5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH},
    **{14: _TYPE, 15: _TYPE, 22: _SPARSE, 23: _SPARSE},
}
_SHARDING: _Messages = {3: {}, 4: {2: {}}}
_NODE = {5: _ATTRIBUTE, 9: {}, 10: {2: _SHARDING}}
_GRAPH |= {1: _NODE, 5: _TENSOR, 11: _VALUE, 12: _VALUE, 13: _VALUE, 14: {2: {}}, 15: _SPARSE, 16: {}}
_FUNCTION = {7: _NODE, 9: {}, 11: _ATTRIBUTE, 12: _VALUE, 14: {}}
_MODEL: _Messages = {
    7: _GRAPH,
    8: {},
    14: {},
    20: {1: _GRAPH, 2: _GRAPH, 3: {}, 4: {}},
    25: _FUNCTION,
    26: {},
}
"""Which fields of each message hold messages, after onnx.proto: ModelProto and what lies within it."""


def check_onnx(source: Path | bytes, request: Request) -> None:
    """Refuse an ONNX file that would take memory or stack out of proportion; weights are stepped over.

    Raises:
        JugglerError: of the request's kind: it is no ONNX file, or has more messages, or deeper ones,
            than any network needs.
    """
    with request.refusing("ONNX model"):
        if isinstance(source, bytes):
            _check(source)
            return
        # An empty file cannot be mapped: a ValueError, which says so.
        with (
            open_plain(source, request) as file,
            closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as mapped,
        ):
            _check(mapped)


def read_onnx(source: Path | bytes, request: Request, *, with_external: bool = True) -> onnx.ModelProto:
    """Return an ONNX model, once `check_onnx` lets it pass.

    Args:
        source: the file or its bytes.
        request: who asks.
        with_external: read weights that lie in other files beside it; bytes have none.

    Raises:
        JugglerError: of the request's kind: it is no ONNX model, or its weights cannot be read.
    """
    import onnx  # noqa: PLC0415  # heavy
    from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]  # noqa: PLC0415

    check_onnx(source, request)
    try:
        with request.refusing("ONNX model"):
            if isinstance(source, bytes):
                return onnx.load_from_string(source)
            return onnx.load(str(source), load_external_data=with_external)
    except (DecodeError, EncodeError, onnx.checker.ValidationError) as error:
        raise request.refusal(f"no ONNX model ({str(error)[:300]})") from error


def _check(buffer: Buffer) -> None:
    count = 0
    level = [(0, len(buffer), _MODEL)]
    for _ in range(DEPTH):
        inner: list[tuple[int, int, _Messages]] = []
        for start, end, messages in level:
            for number, _begin, content, after in fields(buffer, start, end):
                count += 1
                if count > MOST_FIELDS:
                    raise ValueError(f"more than {MOST_FIELDS:,} fields")
                # What holds no message is a text or a number, and takes no more memory than its bytes.
                if messages.get(number):
                    inner.append((content, after, messages[number]))
        if not inner:
            return
        level = inner
    raise ValueError(f"messages more than {DEPTH} deep")
