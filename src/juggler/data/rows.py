"""Turn lines into records by two paths that give the same values.

`parse_line` defines what a row is. `parse_block` reads a block at once with Arrow wherever every row of it
is plain, and otherwise halves the block until it finds the rows that are not, which it gives to `parse_line`:
so a bad row is described by one piece of code, and costs little in a block of good ones.
"""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from juggler.data.records import UNKNOWN, Records, Schema, join

MAX_LINE_BYTES = 16_384
_TEXT_CHARACTERS = 200
_SMALL_BLOCK_ROWS = 24
_BLANKS = " \t"
_NEWLINE = 10
_PLAIN = str.maketrans("", "", "0123456789.,")
_NUMBER = re.compile(r"[ \t]*-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[ \t]*", re.ASCII)


@dataclass(frozen=True)
class BadRow:
    """A row that holds no record.

    Attributes:
        line: its line number, from 1.
        reason: what was expected and what was found.
        text: its beginning, at most 200 characters.
    """

    line: int
    reason: str
    text: str


class _Bad(Exception):  # noqa: N818  # never leaves this file
    """Carry the reason out of the parse of one line."""


def widths(schema: Schema) -> tuple[int, int, int]:
    """Return the column counts that a row may have: features, with attack name, with difficulty as well."""
    n = len(schema.columns)
    return n, n + 1, n + 2


def parse_line(
    line: bytes | str, schema: Schema, line_number: int = 1, width: int | None = None
) -> Records | BadRow:
    """Parse one line, with or without its line end, into records of length 1, or say why it holds none.

    Args:
        line: the line, UTF-8 where it is bytes.
        schema: what the columns mean.
        line_number: its number in the source, from 1.
        width: columns that it must have; None accepts the features, also with attack name, also with
            attack name and difficulty.
    """
    if isinstance(line, str):
        line = line.encode(errors="surrogatepass")  # a lone surrogate is then refused below
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    try:
        if len(line) > MAX_LINE_BYTES:
            raise _Bad(f"expected at most {MAX_LINE_BYTES} bytes, found {len(line)}")
        return _record(line.decode(), schema, line_number, width)
    except UnicodeDecodeError as error:
        return BadRow(
            line_number, f"expected UTF-8 text, found byte {error.object[error.start]:#04x}", _text(line)
        )
    except _Bad as bad:
        return BadRow(line_number, str(bad), _text(line))


def _record(text: str, schema: Schema, line_number: int, width: int | None) -> Records:
    tokens = text.split(",")
    _check_width(tokens, schema, width)
    numbers = _numbers([tokens[i] for i in schema.numeric_at], schema)
    labelled = len(tokens) > len(schema.columns)
    if len(tokens) > len(schema.columns) + 1 and not _NUMBER.fullmatch(tokens[-1]):
        raise _Bad(f"expected a number as the difficulty, found {tokens[-1][:40]!r}")
    codes = [
        schema.code_of[name].get(tokens[i].strip(_BLANKS), UNKNOWN)
        for name, i in zip(schema.categorical, schema.categorical_at, strict=True)
    ]
    attacks = np.empty(1, dtype=object) if labelled else None
    if attacks is not None:
        attacks[0] = tokens[len(schema.columns)].strip(_BLANKS)
        if not attacks[0]:
            raise _Bad("expected an attack name after the features, found nothing")
    return Records(
        schema=schema,
        numbers=numbers,
        codes=np.array(codes, dtype=np.int16)[:, None],
        attacks=attacks,
        lines=np.array([line_number]),
    )


def _check_width(tokens: list[str], schema: Schema, width: int | None) -> None:
    count, allowed = len(tokens), widths(schema)
    if count == 1 and not tokens[0].strip():
        raise _Bad(f"expected {width or allowed[0]} columns, found an empty line")
    if width is not None and count != width:
        raise _Bad(f"expected {width} columns as in the rows before, found {count}")
    if count not in allowed:
        raise _Bad(f"expected {allowed[0]}, {allowed[1]} or {allowed[2]} columns, found {count}")


def _numbers(tokens: list[str], schema: Schema) -> NDArray[np.float64]:
    # float() reads more than a row may hold ("1_0", "nan", other digits): only plain tokens skip the grammar.
    if ",".join(tokens).translate(_PLAIN):
        for name, token in zip(schema.numeric, tokens, strict=True):
            if not _NUMBER.fullmatch(token):
                raise _Bad(f"expected a finite number as {name}, found {token[:40]!r}")
    try:
        values = np.array([float(token) for token in tokens])[:, None]
    except ValueError:
        name, token = next(p for p in zip(schema.numeric, tokens, strict=True) if not _NUMBER.fullmatch(p[1]))
        raise _Bad(f"expected a finite number as {name}, found {token[:40]!r}") from None
    wrong = ~((values >= 0) & (values <= schema.upper))
    if wrong.any():
        i = int(wrong.argmax())
        limits = "0 to 1" if schema.column[schema.numeric[i]].rate else "0 or more, and finite"
        raise _Bad(f"expected {limits} as {schema.numeric[i]}, found {tokens[i][:40]!r}")
    return values


def _text(line: bytes) -> str:
    return line[: 4 * _TEXT_CHARACTERS].decode(errors="replace")[:_TEXT_CHARACTERS]


def parse_block(
    block: bytes, schema: Schema, first_line: int = 1, width: int | None = None
) -> tuple[Records, list[BadRow]]:
    """Parse whole lines into the records of the good rows and a list of the bad ones, both in order.

    Args:
        block: lines joined by line ends; the last one may lack its own.
        schema: what the columns mean.
        first_line: number of the first line in the source, from 1.
        width: columns that every row must have; None takes those of the first row with a right number.
    """
    starts = _line_starts(block)
    if width is None:
        width = first_width(block, schema)
    parser = _BlockParser(block, schema, width)
    parser.parse(starts, first_line)
    return (join(parser.parts) if parser.parts else empty(schema, width)), parser.bad


def empty(schema: Schema, width: int | None = None) -> Records:
    """Return no records, labelled if rows of that width are."""
    return Records(
        schema=schema,
        numbers=np.empty((len(schema.numeric), 0)),
        codes=np.empty((len(schema.categorical), 0), dtype=np.int16),
        attacks=np.empty(0, dtype=object) if width is not None and width > len(schema.columns) else None,
        lines=np.empty(0, dtype=np.int64),
    )


def first_width(block: bytes, schema: Schema) -> int | None:
    """Return the column count of the first row that has a right number of columns, or None."""
    for line in io.BytesIO(block):
        if (count := line.count(b",") + 1) in widths(schema):
            return count
    return None


def _line_starts(block: bytes) -> NDArray[np.int64]:
    """Return the offset of each line, and of the end, `[lines + 1]`."""
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _NEWLINE) + 1
    if len(block) and not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    return np.concatenate([np.zeros(1, dtype=np.int64), ends])


@dataclass
class _BlockParser:
    """Collect the good records and the bad rows of one block, in order."""

    block: bytes
    schema: Schema
    width: int | None
    parts: list[Records] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)

    def parse(self, starts: NDArray[np.int64], first_line: int) -> None:
        """Add the rows between the offsets `starts`, `[rows + 1]`."""
        rows = len(starts) - 1
        if rows <= _SMALL_BLOCK_ROWS or self.width is None:
            self._line_by_line(starts, first_line)
            return
        records = _by_arrow(self.block[starts[0] : starts[-1]], starts, first_line, self.schema, self.width)
        if records is not None:
            self.parts.append(records)
            return
        middle = rows // 2
        self.parse(starts[: middle + 1], first_line)
        self.parse(starts[middle:], first_line + middle)

    def _line_by_line(self, starts: NDArray[np.int64], first_line: int) -> None:
        for i, (start, end) in enumerate(itertools.pairwise(starts)):
            row = parse_line(self.block[start:end], self.schema, first_line + i, self.width)
            if isinstance(row, BadRow):
                self.bad.append(row)
            else:
                self.parts.append(row)


def _by_arrow(
    block: bytes, starts: NDArray[np.int64], first_line: int, schema: Schema, width: int
) -> Records | None:
    """Return the records of a block of plain rows, or None where any row is not plain."""
    rows = len(starts) - 1
    # Arrow would skip a byte-order mark at the start of any block, and has no limit to a line.
    if block.startswith(b"\xef\xbb\xbf") or np.diff(starts).max() > MAX_LINE_BYTES:
        return None
    names = [*schema.all_features, "attack", "difficulty"][:width]
    types = {name: pa.float64() for name in (*schema.numeric, "difficulty")}
    types |= {name: pa.dictionary(pa.int32(), pa.string()) for name in (*schema.categorical, "attack")}
    try:
        table = _read_csv(block, {name: types[name] for name in names})
    except pa.ArrowInvalid:
        return None
    if table.num_rows != rows or ("difficulty" in names and not _finite(table["difficulty"])):
        return None
    numbers = np.empty((len(schema.numeric), rows))
    for i, name in enumerate(schema.numeric):
        numbers[i] = table[name].combine_chunks().to_numpy(zero_copy_only=False)
    if not (np.greater_equal(numbers, 0).all() and np.less_equal(numbers, schema.upper).all()):
        return None
    codes = np.empty((len(schema.categorical), rows), dtype=np.int16)
    for i, name in enumerate(schema.categorical):
        words, at = _words(table[name])
        codes[i] = np.array([schema.code_of[name].get(word, UNKNOWN) for word in words], dtype=np.int16)[at]
    attacks = None
    if width > len(schema.columns):
        words, at = _words(table["attack"])
        if "" in words:
            return None
        attacks = np.array(words, dtype=object)[at]
    return Records(schema, numbers, codes, attacks, np.arange(first_line, first_line + rows))


def _read_csv(block: bytes, types: dict[str, pa.DataType]) -> pa.Table:
    return pacsv.read_csv(
        pa.py_buffer(block),
        read_options=pacsv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=[*types]),
        parse_options=pacsv.ParseOptions(
            quote_char=False, double_quote=False, escape_char=False, ignore_empty_lines=False
        ),
        convert_options=pacsv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
    )


def _finite(column: pa.ChunkedArray) -> bool:
    return bool(np.isfinite(column.to_numpy()).all())


def _words(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int32]]:
    """Return the distinct words of a dictionary column, blanks around them removed, and each row's index."""
    array = column.unify_dictionaries().combine_chunks()
    words = [word.strip(_BLANKS) for word in array.dictionary.to_pylist()]
    return words, array.indices.to_numpy(zero_copy_only=False)
