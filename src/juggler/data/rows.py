"""Turn lines into records: the same records and the same bad rows, however the lines come in blocks.

`RowParser.row` defines what a line is. A block is read at once with Arrow wherever every row of it is plain,
and otherwise halved until the rows are found that are not, which go to `row`: so a bad row is described by
one piece of code, and costs little in a block of good ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from juggler.data.kinds import BOM
from juggler.data.layout import Layout, is_header, layout_of_header, layouts_without_header, widths
from juggler.data.records import UNKNOWN, Records, Schema, join
from juggler.errors import DataError

MAX_LINE_BYTES = 16_384
_TEXT_CHARACTERS = 200
_SMALL_BLOCK_ROWS = 24
_UNKNOWN_WORDS = 1000  # distinct ones that are remembered
_BLANKS = " \t"
_NEWLINE = b"\n"[0]
_PLAIN = b"0123456789.,"
# What Arrow reads as a finite number, and no more: no `1_0`, no `0x1`, no other digits.
_NUMBER = re.compile(rb"[ \t]*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[ \t]*")
_MARK = re.compile(rb"^" + BOM, re.MULTILINE)
# A cell wholly within quotes, with no quote, comma or line end in it.
_QUOTED = re.compile(rb'(?<![^,\n])[ \t]*"([^",\r\n]*)"[ \t]*(?=[,\r\n]|\Z)')


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


class RowParser:
    """Make records of lines, given in order.

    A line is a record, a bad row, or neither: a blank line, or a header line, which names the columns of the
    rows after it wherever it stands. Quotes around a cell and a byte-order mark before a line are dropped.
    Without a header a row is known by its number of cells, see `layouts_without_header`.

    Args:
        schema: what the columns mean.
        needed: columns that a row must have, all where none are named; others that are missing become NaN.
        with_labels: keep the attack names, and take a row with another number of cells than the first record
            for a bad one; otherwise the names are not looked at, and each row is taken as what it is.
        width: number of cells that every row must have, where that is known before.

    Attributes:
        blank_lines: lines without content so far.
        header_lines: header lines so far.
        unknown_words: how often a word came that the schema does not know, by column and word.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        needed: Collection[str] = (),
        with_labels: bool = True,
        width: int | None = None,
    ) -> None:
        self.blank_lines = self.header_lines = 0
        self.unknown_words: Counter[tuple[str, str]] = Counter()
        self._schema, self._needed = schema, needed or schema.all_features
        self._with_labels, self._width = with_labels, width
        self._layouts = layouts_without_header(schema, self._needed)
        self._header: Layout | None = None
        self._has_attacks: bool | None = None
        self._parts: list[Records] = []
        self._bad: list[BadRow] = []

    def parse(self, block: bytes, first_line: int = 1) -> tuple[Records, list[BadRow]]:
        """Return the records and the bad rows of whole lines, both in order.

        Args:
            block: lines joined by line ends; the last one may lack its own.
            first_line: number of the first line in the source, from 1.
        """
        self._parts, self._bad = [], []
        block = _plain(block)
        ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _NEWLINE) + 1
        if len(block) and not block.endswith(b"\n"):
            ends = np.append(ends, len(block))
        starts = np.concatenate([np.zeros(1, dtype=np.int64), ends])
        lines = np.arange(first_line, first_line + len(ends))
        self._take(*self._without_blank_lines(block, starts, lines))
        if len(self._parts) == 1:  # most blocks: nothing is copied
            return self._parts[0], self._bad
        return join(self._parts) if self._parts else self._no_records(), self._bad

    def parse_line(self, line: bytes, number: int) -> Records | BadRow | None:
        """Return what one line is; None where it is blank or a header."""
        return self._row(_plain(line), number)

    def _row(self, line: bytes, number: int) -> Records | BadRow | None:
        """Define what a line is, its quotes and its mark gone."""
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if not line.strip():
            self.blank_lines += 1
            return None
        try:
            if len(line) > MAX_LINE_BYTES:
                raise _Bad(f"expected at most {MAX_LINE_BYTES} bytes, found {len(line)}")
            return self._record(line.split(b","), number)
        except UnicodeDecodeError as error:
            reason = f"expected UTF-8 text, found byte {error.object[error.start]:#04x}"
        except _Bad as bad:
            reason = str(bad)
        if len(line) <= MAX_LINE_BYTES:
            names = line.decode(errors="replace").split(",")
            if is_header(names, self._needed):
                try:
                    self._header = layout_of_header(names, self._schema, self._needed)
                except DataError as error:
                    return BadRow(number, error.found, _text(line))
                self.header_lines += 1
                return None
        return BadRow(number, reason, _text(line))

    def _record(self, cells: list[bytes], number: int) -> Records:
        layout, schema = self._layout(cells), self._schema
        numbers = _numbers(cells, schema, layout)
        if layout.difficulty_at is not None and not _NUMBER.fullmatch(cells[layout.difficulty_at]):
            raise _Bad(f"expected a number as the difficulty, found {_shown(cells[layout.difficulty_at])}")
        codes = np.full(len(schema.categorical), UNKNOWN, dtype=np.int16)
        unknown = []
        for i, (column, at) in enumerate(zip(schema.categorical, layout.categorical_at, strict=True)):
            if at is not None:
                word = _word(cells[at])
                codes[i] = schema.code_of[column].get(word, UNKNOWN)
                unknown += [(column, word)] if codes[i] == UNKNOWN else []
        attacks = None
        if self._with_labels and layout.attack_at is not None:
            attacks = np.array([_word(cells[layout.attack_at])], dtype=object)
            if not attacks[0]:
                raise _Bad("expected an attack name after the features, found nothing")
        context = {name: np.array([_word(cells[at])], object) for name, at in layout.context_at.items()}
        for column, word in unknown:
            self._note_unknown(column, word, 1)
        self._note_width(layout)
        return Records(
            schema,
            numbers,
            codes[:, None],
            attacks,
            np.array([number]),
            context=context,
        )

    def _layout(self, cells: list[bytes]) -> Layout:
        """Return the layout of a row.

        Raises:
            _Bad: no row has so many cells here, or those before have an attack name and this one has none.
        """
        layout = self._layout_by_width(cells)
        if self._has_attacks not in (None, layout.attack_at is not None):
            word = "an" if self._has_attacks else "no"
            raise _Bad(f"expected {word} attack name as in the rows before, by an index column or none")
        return layout

    def _layout_by_width(self, cells: list[bytes]) -> Layout:
        count = len(cells)
        if self._width is not None and count != self._width:
            raise _Bad(f"expected {self._width} columns as in the rows before, found {count}")
        if self._header is not None:
            if count != self._header.width:
                raise _Bad(f"expected {self._header.width} columns as in the header line, found {count}")
            return self._header
        candidates = self._layouts.get(count, ())
        layouts = [x for x in candidates if x.index_marks is None or _has_index(cells, x.index_marks)]
        if not layouts:
            n, labelled, full = widths(self._schema)
            raise _Bad(f"expected {n}, {labelled} or {full} columns, found {count}")
        return layouts[-1]

    def _note_width(self, layout: Layout) -> None:
        if self._with_labels:
            self._width, self._has_attacks = layout.width, layout.attack_at is not None

    def _note_unknown(self, column: str, word: str, count: int) -> None:
        if len(self.unknown_words) < _UNKNOWN_WORDS or (column, word) in self.unknown_words:
            self.unknown_words[column, word] += count

    def _no_records(self) -> Records:
        has_labels = self._with_labels and self._width in widths(self._schema)[1:]
        return Records(
            schema=self._schema,
            numbers=np.empty((len(self._schema.numeric), 0)),
            codes=np.empty((len(self._schema.categorical), 0), dtype=np.int16),
            attacks=np.empty(0, dtype=object) if has_labels else None,
            lines=np.empty(0, dtype=np.int64),
        )

    def _without_blank_lines(
        self, block: bytes, starts: NDArray[np.int64], lines: NDArray[np.int64]
    ) -> tuple[bytes, NDArray[np.int64], NDArray[np.int64]]:
        """Return the block less its empty lines, the offsets of the lines and the end, and their numbers."""
        data, lengths = np.frombuffer(block, dtype=np.uint8), np.diff(starts)
        short = np.flatnonzero(lengths <= 2)
        if not len(short):
            return block, starts, lines
        is_blank = np.zeros(len(lines), dtype=np.bool_)
        is_blank[short] = [not block[starts[i] : starts[i + 1]].strip(b"\r\n") for i in short.tolist()]
        self.blank_lines += int(is_blank.sum())
        starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths[~is_blank])])
        return data[np.repeat(~is_blank, lengths)].tobytes(), starts, lines[~is_blank]

    def _take(self, block: bytes, starts: NDArray[np.int64], lines: NDArray[np.int64]) -> None:
        """Add the rows between the offsets `starts`, `[rows + 1]`, of the numbers `lines`, `[rows]`."""
        rows = len(lines)
        if rows > _SMALL_BLOCK_ROWS:
            records = self._by_arrow(block, starts, lines)
            if records is not None:
                self._parts.append(records)
                return
            middle = rows // 2
            self._take(block, starts[: middle + 1], lines[:middle])
            self._take(block, starts[middle:], lines[middle:])
            return
        for i in range(rows):
            row = self._row(block[starts[i] : starts[i + 1]], int(lines[i]))
            if isinstance(row, BadRow):
                self._bad.append(row)
            elif row is not None:
                self._parts.append(row)

    def _by_arrow(self, block: bytes, starts: NDArray[np.int64], lines: NDArray[np.int64]) -> Records | None:
        """Return the records of a block of plain rows, or None where any row is not plain."""
        first, rows = block[starts[0] : starts[1]], block[starts[0] : starts[-1]]
        # Arrow would skip a byte-order mark at the start of any block, and has no limit to a line.
        if rows.startswith(BOM) or np.diff(starts).max() > MAX_LINE_BYTES:
            return None
        try:
            layout = self._layout(first.removesuffix(b"\n").removesuffix(b"\r").split(b","))
            table = _read_csv(rows, layout, with_labels=self._with_labels)
        except (_Bad, pa.ArrowInvalid):
            return None
        numbers = _numbers_of(table, self._schema, layout)
        attacks = None
        if self._with_labels and layout.attack_at is not None:
            attacks = _texts(table, layout.attack_at)
        if table.num_rows != len(lines) or numbers is None or not _is_plain(table, layout, attacks):
            return None
        self._note_width(layout)
        context = {name: _texts(table, at) for name, at in layout.context_at.items()}
        codes = self._codes(table, layout)
        return Records(self._schema, numbers, codes, attacks, lines, context=context)

    def _codes(self, table: pa.Table, layout: Layout) -> NDArray[np.int16]:
        """Return the codes of the words, `[categorical columns, rows]`, and note those that are unknown."""
        schema = self._schema
        codes = np.full((len(schema.categorical), table.num_rows), UNKNOWN, dtype=np.int16)
        for i, (name, position) in enumerate(zip(schema.categorical, layout.categorical_at, strict=True)):
            if position is None:
                continue
            words, at = _words(table[str(position)])
            code_of = [schema.code_of[name].get(word, UNKNOWN) for word in words]
            codes[i] = np.array(code_of, dtype=np.int16)[at]
            if UNKNOWN in code_of:
                counts = np.bincount(at, minlength=len(words)).tolist()
                for word, code, count in zip(words, code_of, counts, strict=True):
                    if code == UNKNOWN:
                        self._note_unknown(name, word, count)
        return codes


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
    parser = RowParser(schema, width=width)
    row = parser.parse_line(line, line_number)
    if row is None:
        what = "a header line" if parser.header_lines else "an empty line"
        return BadRow(
            line_number, f"expected {width or widths(schema)[0]} columns, found {what}", _text(line)
        )
    return row


def parse_block(
    block: bytes, schema: Schema, first_line: int = 1, width: int | None = None
) -> tuple[Records, list[BadRow]]:
    """Parse whole lines into the records of the good rows and a list of the bad ones, both in order.

    Args:
        block: lines joined by line ends; the last one may lack its own.
        schema: what the columns mean.
        first_line: number of the first line in the source, from 1.
        width: columns that every row must have; None takes those of the first record.
    """
    return RowParser(schema, width=width).parse(block, first_line)


def first_width(block: bytes, schema: Schema) -> int | None:
    """Return the number of columns of the first row that is a record, or None where none is."""
    parser = RowParser(schema)
    for line in block.split(b"\n"):
        if isinstance(parser.parse_line(line, 1), Records):
            return line.count(b",") + 1
    return None


def _plain(lines: bytes) -> bytes:
    """Return lines without byte-order marks before them and quotes around cells; each line by itself."""
    if BOM in lines:
        lines = _MARK.sub(b"", lines)
    return _QUOTED.sub(rb"\1", lines) if b'"' in lines else lines


def _numbers(cells: list[bytes], schema: Schema, layout: Layout) -> NDArray[np.float64]:
    """Return the numbers of a row, `[numeric columns, 1]`."""
    rows, positions = layout.numbers
    tokens = [cells[at] for at in positions]
    # float() reads more than a row may hold ("1_0", "nan"): only plain tokens skip the grammar.
    if not all(tokens) or b",".join(tokens).translate(None, _PLAIN):
        for i, token in zip(rows, tokens, strict=True):
            if not _NUMBER.fullmatch(token):
                raise _Bad(f"expected a finite number as {schema.numeric[i]}, found {_shown(token)}")
    try:
        parsed = np.array([float(token) for token in tokens])[:, None]
    except ValueError:
        pairs = zip(rows, tokens, strict=True)
        i, token = next(pair for pair in pairs if not _NUMBER.fullmatch(pair[1]))
        raise _Bad(f"expected a finite number as {schema.numeric[i]}, found {_shown(token)}") from None
    wrong = ~((parsed >= 0) & (parsed <= schema.upper[rows]))
    if wrong.any():
        i = int(wrong.argmax())
        name = schema.numeric[rows[i]]
        limits = "0 to 1" if schema.column[name].rate else "0 or more, and finite"
        raise _Bad(f"expected {limits} as {name}, found {_shown(tokens[i])}")
    if len(rows) == len(schema.numeric):
        return parsed
    numbers = np.full((len(schema.numeric), 1), np.nan)
    numbers[rows] = parsed
    return numbers


def _has_index(cells: list[bytes], marks: tuple[int, int]) -> bool:
    number, word = marks
    return bool(_NUMBER.fullmatch(cells[number])) and not _NUMBER.fullmatch(cells[word])


def _word(cell: bytes) -> str:
    return cell.decode().strip(_BLANKS)


def _shown(cell: bytes) -> str:
    return repr(cell[:160].decode(errors="replace")[:40])


def _text(line: bytes) -> str:
    return line[: 4 * _TEXT_CHARACTERS].decode(errors="replace")[:_TEXT_CHARACTERS]


def _read_csv(rows: bytes, layout: Layout, *, with_labels: bool) -> pa.Table:
    """Return the columns of plain rows that are looked at, named by their positions."""
    words = [
        *layout.categorical_at,
        *layout.context_at.values(),
        *([layout.attack_at] if with_labels else []),
    ]
    types = {str(at): pa.float64() for at in (*layout.numeric_at, layout.difficulty_at) if at is not None}
    types |= {str(at): pa.dictionary(pa.int32(), pa.string()) for at in words if at is not None}
    return pacsv.read_csv(
        pa.py_buffer(rows),
        read_options=pacsv.ReadOptions(
            use_threads=False, block_size=len(rows) + 1, column_names=[str(i) for i in range(layout.width)]
        ),
        parse_options=pacsv.ParseOptions(
            quote_char=False, double_quote=False, escape_char=False, ignore_empty_lines=False
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=types, include_columns=[*types], null_values=[], strings_can_be_null=False
        ),
    )


def _numbers_of(table: pa.Table, schema: Schema, layout: Layout) -> NDArray[np.float64] | None:
    """Return the numbers of a table, `[numeric columns, rows]`, or None where one is out of its range."""
    rows, positions = layout.numbers
    is_all = len(rows) == len(schema.numeric)
    values = np.empty((len(rows), table.num_rows))
    for i, at in enumerate(positions):
        values[i] = table[str(at)].combine_chunks().to_numpy(zero_copy_only=False)
    upper = schema.upper if is_all else schema.upper[rows]
    if not (np.greater_equal(values, 0).all() and np.less_equal(values, upper).all()):
        return None
    if is_all:
        return values
    numbers = np.full((len(schema.numeric), table.num_rows), np.nan)
    numbers[rows] = values
    return numbers


def _is_plain(table: pa.Table, layout: Layout, attacks: NDArray[np.object_] | None) -> bool:
    """Say whether the columns that are only checked hold what they should."""
    if layout.difficulty_at is not None:
        difficulty = table[str(layout.difficulty_at)].to_numpy()
        if not np.isfinite(difficulty).all():
            return False
    if layout.index_marks is not None:
        words, _ = _words(table[str(layout.index_marks[1])])
        if any(_NUMBER.fullmatch(word.encode()) for word in words):
            return False
    return attacks is None or "" not in attacks


def _texts(table: pa.Table, position: int) -> NDArray[np.object_]:
    """Return the texts of a dictionary column, `[rows]`."""
    words, at = _words(table[str(position)])
    return np.array(words, dtype=object)[at]


def _words(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int32]]:
    """Return the distinct words of a dictionary column, blanks around them removed, and each row's index."""
    array = column.unify_dictionaries().combine_chunks()
    words = [word.strip(_BLANKS) for word in array.dictionary.to_pylist()]
    return words, array.indices.to_numpy(zero_copy_only=False)
