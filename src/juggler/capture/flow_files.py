"""Write the flows of a capture as a table: parquet or CSV, a batch at a time, whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from juggler.capture.files import read_frames
from juggler.capture.flow_columns import flow_columns
from juggler.capture.flow_cuts import FlowOptions
from juggler.capture.flows import FlowTable, no_flows
from juggler.capture.frames import Account
from juggler.errors import ConfigError
from juggler.files import whole_file
from juggler.nouns import Progress, ReportProgress, ignore_progress

BATCH_FLOWS = 16_384
"""Flows that are gathered before a part of a file is written."""


def write_flows(
    capture: str | Path,
    out: str | Path,
    options: FlowOptions | None = None,
    *,
    on_progress: ReportProgress | None = None,
) -> tuple[Account, int]:
    """Write the flows of a capture; return the account of its frames and the number of flows.

    Args:
        capture: the file, or `-` for standard input.
        out: a `.parquet` or `.csv` file, or `-` for CSV on standard output.
        options: when a flow ends.
        on_progress: told the frames read.

    Raises:
        ConfigError: another ending, or a file that cannot be written.
        DataError: the capture cannot be opened, or is none.
    """
    report = on_progress or ignore_progress
    account, count = Account(), 0
    table = FlowTable(account, options)
    with _writer(out) as write:
        for frames in read_frames(capture, account):
            ended = table.take(frames)
            count += len(ended)
            write(flow_columns(ended))
            report(Progress("flows", account.received, None, "frames"))
        rest = table.flush()
        write(flow_columns(rest))
    return account, count + len(rest)


@contextmanager
def _writer(out: str | Path) -> Iterator[Callable[[pa.Table], None]]:
    """Give what writes a part of the table; small parts are gathered."""
    schema = flow_columns(no_flows()).schema
    with _sink(out, schema) as sink:
        gathered: list[pa.Table] = []

        def write(part: pa.Table | None) -> None:
            gathered.extend([] if part is None else [part])
            if sum(map(len, gathered)) >= BATCH_FLOWS or (part is None and gathered):
                sink.write_table(pa.concat_tables(gathered))
                gathered.clear()

        yield write
        write(None)


@contextmanager
def _sink(out: str | Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter | pacsv.CSVWriter]:
    if str(out) == "-":
        with pacsv.CSVWriter(sys.stdout.buffer, schema) as writer:
            yield writer
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    makers = {".parquet": pq.ParquetWriter, ".csv": pacsv.CSVWriter}
    if path.suffix not in makers:
        raise ConfigError(
            f"write flows to {path}",
            f"a file that ends in {path.suffix or 'nothing'}",
            "Name a .parquet or a .csv file",
        )
    with whole_file(path) as file, makers[path.suffix](file, schema) as writer:
        yield writer
