"""Read a whole file of records, labelled or not; a file with a bad row is refused by its line and reason."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from juggler.data.kinds import BOM, HEAD_BYTES, refuse_other_kinds
from juggler.data.layout import widths
from juggler.data.records import Records, Schema, join, refuse_strangers
from juggler.data.rows import MAX_LINE_BYTES, BadRow, RowParser, parse_block, parse_line
from juggler.errors import DataError

__all__ = ["MAX_LINE_BYTES", "BadRow", "parse_block", "parse_line", "read", "read_bytes"]

_BLOCK_BYTES = 16 << 20


def read(path: str | Path, schema: Schema, strict: bool = True, needed: Collection[str] = ()) -> Records:
    """Read a whole file.

    Args:
        path: the file.
        schema: what its columns mean.
        strict: refuse attack names that the schema does not know; otherwise they are kept as they are.
        needed: columns that it must have; all where none are named.

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
    return read_bytes(data, schema, str(file), strict, needed)


def read_bytes(
    data: bytes, schema: Schema, source: str, strict: bool = True, needed: Collection[str] = ()
) -> Records:
    """Read the bytes of a whole file, as `read` does; `source` names them in messages."""
    if not data.removeprefix(BOM).strip():
        n, labelled, full = widths(schema)
        remedy = f"Give a CSV file whose rows have {n}, {labelled} or {full} columns, or a header line"
        raise DataError(f"read {source}", f"it is empty ({len(data)} bytes)", remedy)
    refuse_other_kinds(data[:HEAD_BYTES], schema, source, needed, is_all=True)
    parser = RowParser(schema, needed=needed)
    parts, bad, start, line = [], list[BadRow](), 0, 1
    while start < len(data):
        end = data.rfind(b"\n", start, start + _BLOCK_BYTES) + 1 or data.find(b"\n", start) + 1 or len(data)
        records, wrong = parser.parse(data[start:end], line)
        parts.append(records)
        bad += wrong
        line += data.count(b"\n", start, end)
        start = end
    if bad:
        _refuse_bad(bad, source, ends_within=None if data.endswith(b"\n") else line)
    if not any(map(len, parts)):
        raise DataError(f"read {source}", f"{line} lines, and no record in them", "Give some records")
    records = replace(join(filter(len, parts)), source=source, sha256=hashlib.sha256(data).hexdigest())
    if strict and records.attacks is not None:
        known = schema.attack_classes
        strange = np.fromiter((name not in known for name in records.attacks), dtype=np.bool_)
        refuse_strangers(records, strange)
    return records


def _refuse_bad(bad: list[BadRow], source: str, ends_within: int | None) -> None:
    """Raise a DataError about the first bad row; `ends_within` is the number of a line without an end."""
    others = f"; {len(bad) - 1} other bad rows follow" if len(bad) > 1 else ""
    cut = "; the file ends within this line" if bad[0].line == ends_within else ""
    raise DataError(
        f"read {source}, line {bad[0].line}",
        f"{bad[0].reason}{cut}, in {bad[0].text[:80]!r}{others}",
        "Mend or remove such rows",
    )
