"""Parquet files are read where their ends say that they are of a sensible size."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from juggler.errors import DataError
from juggler.reading.request import Request
from juggler.reading.tables import TableLimits, open_table

REQUEST = Request("read it", "Fetch it again", DataError)


def written(columns, **options):
    content = io.BytesIO()
    parquet.write_table(pa.table(columns), content, **options)
    return content.getvalue()


COLUMNS = {"a": list(range(100)), "b": [f"text {number}" for number in range(100)]}


def test_rows_are_read_from_a_file_and_from_bytes(tmp_path):
    content = written(COLUMNS)
    (tmp_path / "t.parquet").write_bytes(content)
    for source in (content, tmp_path / "t.parquet"):
        with open_table(source, REQUEST) as table:
            assert table.schema.names == ["a", "b"]
            assert table.read().to_pydict() == COLUMNS
            assert [len(batch) for batch in table.batches(64, ["a"])] == [64, 36]


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        (TableLimits(rows=99), "100 rows; at most 99"),
        (TableLimits(columns=1), "2 columns"),
        (TableLimits(groups=0), "1 row groups"),
        (TableLimits(footer=10), "bytes of description"),
        (TableLimits(size=10), "once inflated"),
        (TableLimits(group=10), "once inflated"),
    ],
)
def test_what_is_too_large_is_refused(limits, fault):
    with pytest.raises(DataError, match=fault), open_table(written(COLUMNS), REQUEST, limits):
        pass


def test_a_bomb_is_refused_before_it_is_inflated():
    content = written({"a": np.zeros(20_000_000)}, compression="zstd", use_dictionary=False)
    assert len(content) < 1 << 20
    with pytest.raises(DataError, match="once inflated"), open_table(content, REQUEST):
        pass


@pytest.mark.parametrize("cut", [0, 4, 8, 100])
def test_what_is_cut_short_is_refused(cut):
    with pytest.raises(DataError), open_table(written(COLUMNS)[:cut], REQUEST) as table:
        table.read()


def test_a_damaged_page_is_refused():
    content = bytearray(written(COLUMNS, compression="zstd"))
    content[4:200] = bytes(196)
    with pytest.raises(DataError), open_table(bytes(content), REQUEST) as table:
        table.read()
