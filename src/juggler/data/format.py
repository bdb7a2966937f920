"""Records to CSV, as `parse` reads them: for streams, for tests, for data that the package makes."""

from __future__ import annotations

import io

import pyarrow as pa
from pyarrow import csv

from juggler.data.records import Records


def to_csv(records: Records) -> bytes:
    """Return the records as lines of CSV, columns in file order, attack names last where there are any.

    Words that the schema does not know are written as `unknown`; numbers so that they read back the same.
    """
    columns = []
    for column in records.schema.columns:
        if column.kind == "categorical":
            columns.append(pa.array([str(word) for word in records.words(column.name)]))
            continue
        values = records[column.name]
        whole = bool((values == values.round()).all()) and bool((abs(values) < 2**53).all())
        columns.append(pa.array(values.astype("int64") if whole else values))
    if records.attacks is not None:
        columns.append(pa.array([str(name) for name in records.attacks]))
    table = pa.table(columns, names=[str(i) for i in range(len(columns))])
    out = io.BytesIO()
    csv.write_csv(table, out, csv.WriteOptions(include_header=False, quoting_style="none"))
    return out.getvalue()
