"""Say what a file is that holds no records, by how it begins, and what to do with it."""

from __future__ import annotations

import re
from collections.abc import Collection

from juggler.data.layout import is_header, layout_of_header, layouts_without_header, plain_name, widths
from juggler.data.records import Schema
from juggler.errors import DataError

BOM = b"\xef\xbb\xbf"
HEAD_BYTES = 1 << 16
_LOOKED_AT_LINES = 20
_UNPACK = "Unpack it first"
_EXPORT = "Save the sheet as CSV (UTF-8, commas)"
_EXTRACT = "Make records of the detector's columns from the packets first: this holds none, or not all"
_UTF16 = ("UTF-16 text", "Convert it: iconv -f UTF-16 -t UTF-8 FILE | juggler detect -")
_ARFF = ("an ARFF file", "Cut its header off: sed '1,/@data/Id' FILE | juggler detect -")
_MAGIC = {
    b"PAR1": ("a Parquet file", "Write its rows as CSV first"),
    b"PK\x03\x04": ("a zip archive", _UNPACK),
    b"\x1f\x8b": ("a gzip file", "Unpack it first: gunzip -c FILE | juggler detect -"),
    b"\x28\xb5\x2f\xfd": ("a Zstandard file", "Unpack it first: zstdcat FILE | juggler detect -"),
    b"\xfd7zXZ\x00": ("an xz file", "Unpack it first: xzcat FILE | juggler detect -"),
    b"BZh": ("a bzip2 file", "Unpack it first: bzcat FILE | juggler detect -"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an old Excel file", _EXPORT),
    b"\xff\xfe": _UTF16,
    b"\xfe\xff": _UTF16,
    b"\xd4\xc3\xb2\xa1": ("a packet capture (pcap)", _EXTRACT),
    b"\xa1\xb2\xc3\xd4": ("a packet capture (pcap)", _EXTRACT),
    b"\x4d\x3c\xb2\xa1": ("a packet capture (pcap)", _EXTRACT),
    b"\xa1\xb2\x3c\x4d": ("a packet capture (pcap)", _EXTRACT),
    b"\x0a\x0d\x0d\x0a": ("a packet capture (pcapng)", _EXTRACT),
    b"\x93NUMPY": ("a NumPy array", "Write its rows as CSV first"),
    b"\x7fELF": ("a program", "Name the file of records"),
    b"SQLite format 3\x00": ("an SQLite database", "Export its table as CSV first"),
    b"%PDF": ("a PDF file", "Name the file of records"),
    b"@relation": _ARFF,
    b"#separator": ("a Zeek log", _EXTRACT),
    b"#fields": ("a Zeek log", _EXTRACT),
}
_BEGINNINGS = (
    (re.compile(rb'[{\[].*"event_type"'), ("EVE JSON of Suricata", _EXTRACT)),
    (re.compile(rb'[{\[].*"id\.orig_h"'), ("a Zeek log in JSON", _EXTRACT)),
    (re.compile(rb'[{\[]\s*(["{}\[\]\d]|$)'), ("JSON", "Write its records as CSV, one a line")),
    (re.compile(rb"<(\?xml|!doctype|html)", re.IGNORECASE), ("XML or HTML", "Write its records as CSV")),
)
_UNSW_STATES = frozenset({"ACC", "CLO", "CON", "ECO", "FIN", "INT", "PAR", "REQ", "RST", "URP"})
_TABLES = (
    ("a table of UNSW-NB15", {"dur", "proto", "service", "state"}),
    ("a table of UNSW-NB15", {"srcip", "sport", "dstip", "dsport"}),
    ("a table of CICFlowMeter", {"flow_duration"}),
    ("a table of CICFlowMeter", {"flow_id"}),
    ("a table of CICFlowMeter", {"total_fwd_packets"}),
    ("a table of CICFlowMeter", {"tot_fwd_pkts"}),
    ("a connection log of Zeek", {"uid", "id_orig_h"}),
    ("a table of nfdump", {"ts", "te", "td", "sa", "da"}),
)
_OTHER_TABLE = (
    "Its columns are others than this detector's: make records of the detector's columns from the packets, "
    "or train on this table"
)


def refuse_other_kinds(
    head: bytes, schema: Schema, source: str, needed: Collection[str] = (), *, is_all: bool = False
) -> None:
    """Refuse an input that begins as no file of records does; do nothing about one that may be.

    A first line that is only a piece of a row is no reason: a stream may begin in its middle.

    Args:
        head: the first bytes; a line and more, if it has lines.
        schema: what the columns mean.
        source: what the input is called.
        needed: names of the columns that must be there; all where none are named.
        is_all: whether `head` is all there is, or is a file's beginning: then one line is enough to judge by.

    Raises:
        DataError: it says what the input is, and what to do.
    """
    kind = _magic(head) or _text_kind(head, schema)
    if kind is not None:
        raise DataError(f"read {source}", f"it is {kind[0]}", kind[1])
    head = head.removeprefix(BOM)
    needed = needed or schema.all_features
    lines = head.split(b"\n")
    lines = [line for line in (lines if is_all else lines[:-1]) if line.strip()][:_LOOKED_AT_LINES]
    rows = [[cell.strip(" \t\r\"'") for cell in line.decode(errors="replace").split(",")] for line in lines]
    if not rows:
        return
    request, first = f"read {source}, line 1", rows[0]
    if is_header(first, needed):
        try:
            layout_of_header(first, schema, needed)
        except DataError as error:
            raise DataError(request, error.found, error.remedy) from None
        return
    words = [cell for cell in first if cell[:1].isalpha()]
    title = _title(first)
    if title is None and len(words) > max(len(schema.categorical) + 2, len(first) / 2):
        title = "a header row"
    if title is not None:
        listed = ", ".join(words[:3])[:80]
        raise DataError(request, f"it is {title} of {len(first)} columns ({listed}, ...)", _OTHER_TABLE)
    if len(first) > 40 and (first[3] in _UNSW_STATES or first[5] in _UNSW_STATES):
        raise DataError(request, f"it is a table of UNSW-NB15 of {len(first)} columns", _OTHER_TABLE)
    _refuse_other_widths([len(row) for row in rows], schema, needed, request, is_all)


def _magic(head: bytes) -> tuple[str, str] | None:
    for magic, kind in _MAGIC.items():
        if head[: len(magic)].lower() == magic.lower():
            is_sheet = magic.startswith(b"PK") and (b"xl/" in head or b"[Content_Types].xml" in head)
            return ("an Excel file (xlsx)", _EXPORT) if is_sheet or b"docProps/" in head[:64] else kind
    return None


def _text_kind(head: bytes, schema: Schema) -> tuple[str, str] | None:
    """Return what a text is that has no commas between its cells, and what to do with it."""
    line = head.removeprefix(BOM).lstrip(b"\r\n \t").split(b"\n", 1)[0]
    if b"\0" in line:
        zeros = max(line[:400:2].count(0), line[1:400:2].count(0))
        is_wide = zeros > len(line[:400]) / 4  # every other byte of plain text
        return _UTF16 if is_wide else ("binary", "Name the file of records")
    for pattern, kind in _BEGINNINGS:
        if pattern.match(line):
            return kind
    if line.startswith(b"%") and b"@relation" in head.lower():
        return _ARFF
    few = len(schema.header_features) // 2
    if line.count(b"\r") > 1 and line.count(b",") > few and b"\n" not in head.rstrip():
        return "text whose lines end in CR alone", "Convert it: tr '\\r' '\\n' < FILE | juggler detect -"
    for mark, name, shell in ((b";", "semicolons", ";"), (b"\t", "tabs", "\\t"), (b"|", "bars", "|")):
        if line.count(mark) >= few and line.count(mark) > line.count(b",") / 2:
            has_commas = re.search(rb"\d,\d", line) is not None
            commas = ", and commas in its numbers" if has_commas else ""
            points = "tr ',' '.' | " if has_commas else ""
            remedy = f"Convert it: cat FILE | {points}tr '{shell}' ',' | juggler detect -"
            return f"text with {name} between its cells{commas}", remedy
    return None


def _title(cells: list[str]) -> str | None:
    names = {plain_name(cell) for cell in cells}
    return next((title for title, marks in _TABLES if marks <= names), None)


def _refuse_other_widths(
    counts: list[int], schema: Schema, needed: Collection[str], request: str, is_all: bool
) -> None:
    """Refuse lines that agree on a number of cells that no record has."""
    if len({*counts}) > 1 or len(counts) < (1 if is_all else 2) or counts[0] == 1:
        return
    if counts[0] not in layouts_without_header(schema, needed):
        n, labelled, full = widths(schema)
        raise DataError(
            request,
            f"it has {counts[0]} columns: a file of another data set?",
            f"Give rows of {n}, {labelled} or {full} columns, or a header line that names them",
        )
