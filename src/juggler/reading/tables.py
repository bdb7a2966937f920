"""Parquet files: rows, columns and bytes once inflated are known from the file's end, before any is read."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from juggler.reading.content import MIB, open_plain
from juggler.reading.request import Request

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

_END_BYTES = 8  # the length of the footer, and the mark
_MARK = b"PAR1"
_LEAST_PAGE = 8 * MIB


@dataclass(frozen=True)
class TableLimits:
    """What a parquet file may hold.

    Attributes:
        rows: rows.
        columns: columns, those within others counted.
        groups: row groups.
        footer: bytes of what describes the file.
        size: bytes of all columns, inflated.
        group: bytes of a row group, inflated.
        ratio: bytes inflated for one in the file.
    """

    rows: int = 20_000_000
    columns: int = 1024
    groups: int = 10_000
    footer: int = 16 * MIB
    size: int = 8192 * MIB
    group: int = 1024 * MIB
    ratio: int = 100


TABLE_LIMITS = TableLimits()


class Table:
    """An open parquet file whose sizes were checked."""

    def __init__(self, file: ParquetFile, request: Request) -> None:
        self._file, self._request = file, request
        self.schema: pa.Schema = file.schema_arrow

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of some columns, of all where none are named.

        Raises:
            JugglerError: of the request's kind: a page is damaged.
        """
        import pyarrow as pa  # noqa: PLC0415  # heavy

        with _refusing(self._request, pa):
            return self._file.read(columns=None if columns is None else [*columns], use_threads=False)

    def batches(self, rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of some columns, so many at a time.

        Raises:
            JugglerError: of the request's kind: a page is damaged.
        """
        import pyarrow as pa  # noqa: PLC0415  # heavy

        with _refusing(self._request, pa):
            batches = self._file.iter_batches(rows, columns=[*columns], use_threads=False)
        while True:
            with _refusing(self._request, pa):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


@contextmanager
def open_table(source: Path | bytes, request: Request, limits: TableLimits = TABLE_LIMITS) -> Iterator[Table]:
    """Open a parquet file, or the bytes of one.

    Raises:
        JugglerError: of the request's kind: it is none, damaged, or says that it holds too much.
    """
    import pyarrow as pa  # noqa: PLC0415  # heavy
    from pyarrow import parquet  # noqa: PLC0415

    with ExitStack() as stack:
        with _refusing(request, pa):
            file: Any = (
                io.BytesIO(source)
                if isinstance(source, bytes)
                else stack.enter_context(open_plain(source, request))
            )
            size = file.seek(0, os.SEEK_END)
            _check_footer(file, size, limits)
            table = stack.enter_context(
                parquet.ParquetFile(
                    file,
                    thrift_string_size_limit=limits.footer,
                    thrift_container_size_limit=1_000_000,
                    page_checksum_verification=False,
                )
            )
            _check_sizes(table.metadata, size, limits)
        yield Table(table, request)


@contextmanager
def _refusing(request: Request, pa: Any) -> Iterator[None]:
    try:
        with request.refusing("parquet file that can be read"):
            yield
    except pa.ArrowException as error:  # some of them are of no kind that Python has
        raise request.refusal(f"no parquet file that can be read ({str(error)[:300]})") from error


def _check_footer(file: Any, size: int, limits: TableLimits) -> None:
    file.seek(max(0, size - _END_BYTES))
    end = file.read(_END_BYTES)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MARK or not 0 < length <= min(limits.footer, size - _END_BYTES - len(_MARK)):
        raise ValueError(f"{length:,} bytes of description in a file of {size:,}")
    file.seek(0)


def _check_sizes(facts: Any, size: int, limits: TableLimits) -> None:
    """Refuse more of anything than there may be."""
    counts = {
        "rows": (facts.num_rows, limits.rows),
        "columns": (facts.num_columns, limits.columns),
        "row groups": (facts.num_row_groups, limits.groups),
    }
    for what, (count, limit) in counts.items():
        if not 0 <= count <= limit:
            raise ValueError(f"{count:,} {what}; at most {limit:,} are read")
    if facts.num_columns * facts.num_row_groups > limits.groups * 16:
        raise ValueError("too many parts")
    groups = [facts.row_group(number) for number in range(facts.num_row_groups)]
    sizes = [
        sum(max(0, group.column(c).total_uncompressed_size) for c in range(group.num_columns))
        for group in groups
    ]
    if sum(group.num_rows for group in groups) != facts.num_rows or any(g.num_rows < 0 for g in groups):
        raise ValueError("row groups whose rows are not those of the file")
    if max(sizes, default=0) > limits.group or sum(sizes) > min(limits.size, limits.ratio * size + 64 * MIB):
        raise ValueError(f"{sum(sizes):,} bytes once inflated, in a file of {size:,}")
