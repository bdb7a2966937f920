"""Samples as parquet: one row a sample, one column a field, units in the names."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from juggler.files import write_atomically
from juggler.nouns import Machine
from juggler.predict.kernels.sample import Sample
from juggler.predict.kernels.sizes import DERIVED

MACHINES_KEY = b"juggler.machines"  # of the schema's metadata: the machines' records by digest, as JSON


def write_samples(samples: Sequence[Sample], machines: Mapping[str, Machine], path: Path) -> Path:
    """Write samples with their kernels' fields, work and traffic; return the path.

    The records of the machines stand in the schema's metadata under `juggler.machines`.

    Raises:
        ConfigError: the file cannot be written.
    """
    import pyarrow as pa  # noqa: PLC0415  # heavy
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = [
        {"family": sample.spec.family, "digest": sample.spec.digest}
        | sample.spec.columns()
        | {name: getattr(sample.spec, name) for name in DERIVED}
        | {field.name: getattr(sample, field.name) for field in fields(sample) if field.name != "spec"}
        for sample in samples
    ]
    records = {digest: record.to_dict() for digest, record in machines.items()}
    table = pa.Table.from_pylist(rows).replace_schema_metadata({MACHINES_KEY: json.dumps(records)})
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    return write_atomically(path, content.getvalue())
