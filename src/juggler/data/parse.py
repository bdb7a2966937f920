"""Read records: a whole labelled file, or a stream in blocks, every bad row with its line and reason."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from juggler.data.records import Records, Schema, join, refuse_strangers
from juggler.data.rows import (
    MAX_LINE_BYTES,
    BadRow,
    empty,
    first_width,
    parse_block,
    parse_line,
    widths,
)
from juggler.errors import DataError

__all__ = ["MAX_LINE_BYTES", "BadRow", "blocks", "parse_block", "parse_line", "read", "read_bytes"]

_BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = 1 << 20
_MAGIC = {
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\xd4\xc3\xb2\xa1": "a packet capture",
    b"\xa1\xb2\xc3\xd4": "a packet capture",
    b"\x0a\x0d\x0d\x0a": "a packet capture",
    b"\x93NUMPY": "a NumPy array",
    b"\x7fELF": "a program",
    b"@relation": "an ARFF file",
}


def blocks(
    stream: BinaryIO, schema: Schema, *, first_line: int = 1, block_bytes: int = _BLOCK_BYTES
) -> Iterator[tuple[Records, list[BadRow]]]:
    """Yield the good records and the bad rows of a stream, as soon as whole lines have come.

    The first row with a right number of columns sets that number for all. A line that grows beyond
    `MAX_LINE_BYTES` is a bad row and is skipped, so memory stays bounded whatever comes.
    """
    fetch = getattr(stream, "read1", stream.read)
    line, rest, skipping, width = first_line, b"", False, None
    while chunk := fetch(block_bytes):
        if line == first_line and not rest and not skipping:
            chunk = chunk.removeprefix(_BOM)
        if skipping:
            _, newline, chunk = chunk.partition(b"\n")
            skipping = not newline
        lines, newline, tail = (rest + chunk).rpartition(b"\n")
        rest = tail
        if newline:
            lines += b"\n"
            width = width or first_width(lines, schema)
            yield parse_block(lines, schema, line, width)
            line += lines.count(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            huge = parse_line(rest, schema, line)
            yield empty(schema, width), [huge] if isinstance(huge, BadRow) else []
            line, rest, skipping = line + 1, b"", True
    if rest:
        records, bad = parse_block(rest, schema, line, width)
        yield records, [replace(b, reason=f"{b.reason}; the file ends within this line") for b in bad]


def read(path: str | Path, schema: Schema, strict: bool = True) -> Records:
    """Read a whole file.

    Args:
        path: the file.
        schema: what its columns mean.
        strict: refuse attack names that the schema does not know; otherwise they are kept as they are.

    Raises:
        DataError: the file is missing, is not of this data set, or has a bad row; the message names the
            file and the line.
    """
    file = Path(path)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise DataError(f"read {file}", "there is no such file", "Check the path") from None
    except IsADirectoryError:
        raise DataError(f"read {file}", "it is a folder", "Give one of the files in it") from None
    except OSError as error:
        raise DataError(f"read {file}", error.strerror or str(error), "Check its permissions") from error
    return read_bytes(data, schema, str(file), strict)


def read_bytes(data: bytes, schema: Schema, source: str, strict: bool = True) -> Records:
    """Read the bytes of a whole file, as `read` does; `source` names them in messages."""
    _refuse_other_files(data, schema, source)
    parts, bad = [], []
    for records, wrong in blocks(io.BytesIO(data), schema, block_bytes=16 * _BLOCK_BYTES):
        parts.append(records)
        bad += wrong
    if bad:
        others = f"; {len(bad) - 1} other bad rows follow" if len(bad) > 1 else ""
        raise DataError(
            f"read {source}, line {bad[0].line}",
            f"{bad[0].reason}, in {bad[0].text[:80]!r}{others}",
            "Mend or remove such rows",
        )
    records = replace(join(parts), source=source, sha256=hashlib.sha256(data).hexdigest())
    if strict and records.attacks is not None:
        known = schema.attack_classes
        strange = np.fromiter((name not in known for name in records.attacks), dtype=np.bool_)
        refuse_strangers(records, strange)
    return records


def _refuse_other_files(data: bytes, schema: Schema, source: str) -> None:
    """Raise a DataError where the first bytes show that this is no file of the schema's data set."""
    request, count = f"read {source}, line 1", widths(schema)
    remedy = f"Give a CSV file without header whose rows have {count[0]}, {count[1]} or {count[2]} columns"
    if not data.strip():
        raise DataError(f"read {source}", f"it is empty ({len(data)} bytes)", remedy)
    for magic, kind in _MAGIC.items():
        if data[: len(magic)].lower() == magic.lower():
            raise DataError(f"read {source}", f"it is {kind}", remedy)
    if b"\0" in data[:4096]:
        raise DataError(f"read {source}", "it is binary, or UTF-16 text", remedy)
    head = data.removeprefix(_BOM)[: MAX_LINE_BYTES + 1].split(b"\n", 1)[0]
    tokens = [token.strip(b' "\r') for token in head.split(b",")]
    # The numeric columns of a header row are words, whichever data set it heads.
    words = [token for token in tokens if token[:1].isalpha()]
    if tokens and len(words) > len(schema.categorical) + 2:
        names = b", ".join(words[:3]).decode(errors="replace")[:80]
        raise DataError(request, f"it is a header row of {len(tokens)} columns ({names}, ...)", remedy)
    if len(tokens) not in count and len(tokens) > 1:
        raise DataError(request, f"it has {len(tokens)} columns: a file of another data set?", remedy)
