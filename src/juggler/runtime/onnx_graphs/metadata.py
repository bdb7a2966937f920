"""Read and write an ONNX model's metadata without the onnx package.

An ONNX file is one protobuf message, `ModelProto`; its metadata are the repeated field 14, each entry a
message of a key (field 1) and a value (field 2). Everything else is carried over byte for byte. The format
is protobuf's documented wire encoding: a tag, which is the field number times 8 plus the wire type, then
a varint (type 0), 8 bytes (1), a length and so many bytes (2), or 4 bytes (5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from juggler.errors import ArtefactError

METADATA_FIELD = 14
KEY_FIELD, VALUE_FIELD = 1, 2
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5


def split(model: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the model without its metadata, and the metadata.

    Raises:
        ArtefactError: the bytes are no protobuf message, or end too early.
    """
    rest, metadata = [], {}
    for number, start, content, end in _fields(model):
        if number != METADATA_FIELD:
            rest.append(model[start:end])
            continue
        entry = {key: model[content + a : content + b] for key, _, a, b in _fields(model[content:end])}
        try:
            metadata[entry.get(KEY_FIELD, b"").decode()] = entry.get(VALUE_FIELD, b"").decode()
        except UnicodeDecodeError as error:
            raise _damaged("its metadata are no text") from error
    return b"".join(rest), metadata


def join(model: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return the model with these metadata in place of its own."""
    rest, _ = split(model)
    entries = []
    for key, value in metadata.items():
        entry = _text(KEY_FIELD, key) + _text(VALUE_FIELD, value)
        entries.append(_tag(METADATA_FIELD) + _varint(len(entry)) + entry)
    return rest + b"".join(entries)


def _fields(message: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, start, start of the content and end of each field."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _read_varint(message, at)
        content = at
        if tag & 7 == VARINT:
            _, at = _read_varint(message, at)
        elif tag & 7 == LENGTH:
            length, content = _read_varint(message, at)
            at = content + length
        elif tag & 7 in (EIGHT_BYTES, FOUR_BYTES):
            at += 8 if tag & 7 == EIGHT_BYTES else 4
        else:
            raise _damaged(f"byte {start} begins no field")
        if at > len(message) or tag >> 3 == 0:
            raise _damaged(f"the field at byte {start} does not end")
        yield tag >> 3, start, content, at


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        value |= (message[at] & 0x7F) << shift
        at += 1
        if message[at - 1] < 0x80:
            return value, at
    raise _damaged("it ends within a number")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _tag(number: int) -> bytes:
    return _varint(number << 3 | LENGTH)


def _text(number: int, text: str) -> bytes:
    encoded = text.encode()
    return _tag(number) + _varint(len(encoded)) + encoded


def _damaged(found: str) -> ArtefactError:
    return ArtefactError(
        "read an ONNX model", f"it is damaged, cut short, or something else: {found}", "Export it again"
    )
