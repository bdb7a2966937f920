"""Records to CSV, as `parse` reads them: for streams, for tests, for data that the package makes."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pyarrow as pa
from pyarrow import csv

from juggler.data.records import Records
from juggler.errors import DataError

_MARKS = ',"\r\n'


def to_csv(records: Records) -> bytes:
    """Return the records as lines of CSV, columns in file order, attack names last where there are any.

    Words that the schema does not know are written as `unknown`; numbers so that they read back the same.

    Raises:
        DataError: an attack name holds a comma, a quote or a line end, for which the format has no form.
    """
    columns = []
    for column in records.schema.columns:
        if column.kind == "categorical":
            columns.append(pa.array([str(word) for word in records.words(column.name)]))
            continue
        values = records[column.name]
        is_whole = bool((values == values.round()).all()) and bool((abs(values) < 2**53).all())
        columns.append(pa.array(values.astype("int64") if is_whole else values))
    if records.attacks is not None:
        columns.append(pa.array(_plain(records.attacks)))
    table = pa.table(columns, names=[str(i) for i in range(len(columns))])
    out = io.BytesIO()
    csv.write_csv(table, out, csv.WriteOptions(include_header=False, quoting_style="none"))
    return out.getvalue()


def _plain(names: Iterable[object]) -> list[str]:
    """Return attack names as text."""
    words = [str(name) for name in names]
    for word in dict.fromkeys(words):
        if any(mark in word for mark in _MARKS):
            raise DataError(
                "write records as CSV", f"the attack name {word[:40]!r}", "Name it in plain words"
            )
    return words
