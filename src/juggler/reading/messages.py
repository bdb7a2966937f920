"""Protocol buffers' wire format, as far as ONNX files need it, read and written without the onnx package.

A message is a row of fields: a key, which is the field's number times 8 plus its wire type, then a varint
(type 0), 8 bytes (1), a length and so many bytes (2), or 4 bytes (5). Whoever knows the numbers can step over
what is of no use, and carry the rest over byte for byte.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TypeAlias

Buffer: TypeAlias = "bytes | mmap.mmap"
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
VARINT_BITS = 64


def fields(buffer: Buffer, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """Yield each field's number, where it begins, where its content begins, and where it ends.

    Args:
        buffer: what holds the message.
        start: where the message begins.
        end: where it ends; None is the buffer's end.

    Raises:
        ValueError: it is no message, or does not end where it should.
    """
    at, end = start, len(buffer) if end is None else end
    while at < end:
        begin = at
        key, content = _read_varint(buffer, begin, end)
        wire_type = key & 7
        if wire_type == VARINT:
            _, at = _read_varint(buffer, content, end)
        elif wire_type == LENGTH:
            length, content = _read_varint(buffer, content, end)
            at = content + length
        elif wire_type in (EIGHT_BYTES, FOUR_BYTES):
            at = content + (8 if wire_type == EIGHT_BYTES else 4)
        else:
            raise ValueError(f"byte {begin} begins no field")
        if at > end or key >> 3 == 0:
            raise ValueError(f"the field at byte {begin} does not end")
        yield key >> 3, begin, content, at


def head(number: int, length: int) -> bytes:
    """Return what stands before so many bytes of content in a field of that number."""
    return bytes([number << 3 | LENGTH]) + _varint(length)


def field(number: int, content: bytes) -> bytes:
    """Return a field of that number, below 16, with its content."""
    return head(number, len(content)) + content


def _read_varint(buffer: Buffer, at: int, end: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    value = 0
    for shift in range(0, VARINT_BITS, 7):
        if at >= end:
            break
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it ends within a number")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
