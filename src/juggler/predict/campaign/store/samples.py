"""Samples on disk: one SQLite file for campaigns of any number of machines.

Each sample is committed as it is added. Two processes may add to one file at once; a sample that is there
already is not added again, so a campaign that is started twice is one campaign.
"""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from juggler.errors import ArtefactError, ConfigError, JugglerError
from juggler.files import write_atomically
from juggler.nouns import Machine, Noun
from juggler.predict.campaign.store.schema import (
    BUSY_S,
    FLOORS,
    StoreError,
    connect,
    sqlite_errors_translated,
)
from juggler.predict.kernels.sample import Sample
from juggler.predict.kernels.sizes import DERIVED
from juggler.predict.kernels.spec import KernelSpec
from juggler.reading.databases import connect as open_database
from juggler.reading.documents import parse_object
from juggler.reading.request import Request

PLAIN = ("backend", "precision", "threads", "pre_ms", "exec_ms", "post_ms", "spread", "rounds", "rejected")
LAST = ("sampled_by", "machine", "taken_at")
COLUMN_NAMES = {"sampled_by": "drawn"}  # what a field is called in files, if otherwise
COLUMNS = [COLUMN_NAMES.get(name, name) for name in (*PLAIN, *LAST)]
INSERT = (
    f"INSERT OR IGNORE INTO samples (campaign, family, digest, spec, {', '.join(COLUMNS)}) "  # noqa: S608
    f"VALUES ({', '.join('?' * (4 + len(COLUMNS)))})"  # names of this file only
)
DAMAGED = "Read what is left of it into a new one: juggler campaign --db NEW --salvage FILE"
MACHINES_KEY = b"juggler.machines"  # of a parquet schema's metadata: the machines' records by digest
LEAST_ROW_BYTES = 200  # of a sample in the file, its kernel's fields among it
SELECT = f"SELECT spec, {', '.join(COLUMNS)} FROM samples"  # noqa: S608


@dataclass(frozen=True)
class NoiseFloor(Noun):
    """How well timings of the same kernels repeat: no prediction can be held to less.

    Attributes:
        family: of the kernels.
        samples: kernels that were timed twice.
        mape: mean of |second - first| / first of the execution phase, in percent.
        median_ape: the median of it, in percent.
        hours: median time between the two, in hours.
    """

    family: str
    samples: int
    mape: float
    median_ape: float
    hours: float


class Store:
    """A database of samples; a context manager, used by the thread that opened it.

    Make one with `Store.open`.

    Attributes:
        path: of the file.
        connection: to it, for the measurement log of a campaign.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self.connection = path, connection

    @classmethod
    def open(cls, path: Path | str, create: bool = False, *, busy_s: float = BUSY_S) -> Self:
        """Open a database of samples.

        Args:
            path: the SQLite file.
            create: whether to make it where there is none.
            busy_s: how long to wait for another writer, in seconds.

        Raises:
            ArtefactError: no such file, no database of samples, of another format, cut off or damaged.
            StoreError: it cannot be made or written, or another process holds it.
        """
        return cls(Path(path), connect(Path(path), create=create, busy_s=busy_s))

    def close(self) -> None:
        """Close the file; closing twice is no error."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, sample: Sample, campaign: str = "") -> bool:
        """Keep a sample, on disk when this returns; say whether it is new.

        Args:
            sample: what was measured.
            campaign: name of the campaign that it belongs to.

        Raises:
            StoreError: the disk is full, or the file is held by another process or cannot be written.
        """
        spec = json.dumps(sample.spec.to_dict(), sort_keys=True, separators=(",", ":"))
        plain = [getattr(sample, name) for name in (*PLAIN, *LAST)]
        row = (campaign, sample.spec.family, sample.spec.digest, spec, *plain)
        with sqlite_errors_translated(self.path):
            return self.connection.execute(INSERT, row).rowcount == 1

    def add_machine(self, record: Machine) -> str:
        """Keep a machine's record; return its digest, which its samples carry."""
        text = json.dumps(record.to_dict(), sort_keys=True)
        digest = machine_digest(record)
        with sqlite_errors_translated(self.path):
            self.connection.execute("INSERT OR IGNORE INTO machines VALUES (?, ?)", (digest, text))
        return digest

    def add_campaign(self, name: str, settings: Mapping[str, Any], machine: str) -> None:
        """Keep what a campaign was started with; one of that name that is there already stays."""
        row = (name, json.dumps(dict(settings), sort_keys=True), machine, now())
        with sqlite_errors_translated(self.path):
            self.connection.execute("INSERT OR IGNORE INTO campaigns VALUES (?, ?, ?, ?)", row)

    def samples(
        self,
        family: str | None = None,
        sampled_by: str | None = None,
        machine: str | None = None,
        campaign: str | None = None,
        **renamed: str,
    ) -> list[Sample]:
        """Return samples in the order in which they came; None takes all.

        Raises:
            ArtefactError: the file is damaged, or a row is none of this release's.
        """
        if "drawn" in renamed:
            warnings.warn("drawn is sampled_by now", DeprecationWarning, stacklevel=2)
            sampled_by = renamed.pop("drawn")
        if renamed:
            raise TypeError(f"samples() takes no {', '.join(renamed)}")
        filters = {"family": family, "drawn": sampled_by, "machine": machine, "campaign": campaign}
        conditions = {name: value for name, value in filters.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in conditions)
        question = f"{SELECT}{f' WHERE {where}' if where else ''} ORDER BY id"
        with sqlite_errors_translated(self.path):
            rows = self.connection.execute(question, tuple(conditions.values())).fetchall()
        return [_sample(row, self.path) for row in rows]

    def count(self, campaign: str | None = None) -> int:
        """Return how many samples there are, of one campaign or in all."""
        where, values = ("", ()) if campaign is None else (" WHERE campaign = ?", (campaign,))
        with sqlite_errors_translated(self.path):
            cursor = self.connection.execute(f"SELECT count(*) FROM samples{where}", values)  # noqa: S608
            return int(cursor.fetchone()[0])

    def machines(self) -> dict[str, Machine]:
        """Return the records of all machines, by digest."""
        with sqlite_errors_translated(self.path):
            rows = self.connection.execute("SELECT digest, record FROM machines ORDER BY rowid").fetchall()
        return {digest: Machine.from_json(record) for digest, record in rows}

    def campaigns(self) -> dict[str, dict[str, Any]]:
        """Return the settings of all campaigns, by name, `machine` and `started_at` among them."""
        with sqlite_errors_translated(self.path):
            rows = self.connection.execute("SELECT * FROM campaigns ORDER BY rowid").fetchall()
        request = Request(f"read the campaigns of {self.path}", DAMAGED)
        return {n: parse_object(s, request) | {"machine": m, "started_at": at} for n, s, m, at in rows}

    def floors(self, machine: str | None = None) -> tuple[NoiseFloor, ...]:
        """Return how well timings repeat, by family, from the kernels that were timed twice."""
        # As the file's own view has it, which may not call julianday: what a file says does not act.
        question = f"SELECT family, first_ms, again_ms, hours FROM ({FLOORS})"  # noqa: S608
        with sqlite_errors_translated(self.path):
            rows = self.connection.execute(
                f"{question} WHERE machine = ?" if machine else question, (machine,) if machine else ()
            ).fetchall()
        with Request(f"read how timings repeat in {self.path}", DAMAGED).refusing("latencies"):
            return tuple(_floor(name, rows) for name in sorted({row[0] for row in rows}))

    def export_parquet(self, path: Path | str) -> Path:
        """Write all samples as parquet, one row each, the fields of the kernel as columns.

        Raises:
            ConfigError: no sample, or the file cannot be written.
        """
        samples = self.samples()
        if not samples:
            raise ConfigError(f"export {self.path}", "it holds no sample", "Measure first: juggler campaign")
        return _write_parquet(samples, self.machines(), Path(path))


def _write_parquet(samples: Sequence[Sample], machines: Mapping[str, Machine], path: Path) -> Path:
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
        | {COLUMN_NAMES.get(name, name): getattr(sample, name) for name in (*PLAIN, *LAST)}
        for sample in samples
    ]
    records = {digest: record.to_dict() for digest, record in machines.items()}
    table = pa.Table.from_pylist(rows).replace_schema_metadata({MACHINES_KEY: json.dumps(records)})
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    return write_atomically(path, content.getvalue())


def machine_digest(record: Machine) -> str:
    """Return 16 digits that name a machine's record."""
    return hashlib.sha256(json.dumps(record.to_dict(), sort_keys=True).encode()).hexdigest()[:16]


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def salvage(damaged: Path, store: Store) -> int:
    """Copy every sample that can still be read from a damaged database; return how many were new.

    The damaged file is opened for reading only.

    Raises:
        StoreError: the new database cannot be written.
        ArtefactError: nothing can be read.
    """
    if not damaged.is_file():
        raise ArtefactError(f"salvage {damaged}", "no such file", "Name the damaged database")
    with closing(open_database(damaged, "ro")) as connection:
        with suppress(sqlite3.Error):  # else SQLite reads nothing of a file that is shorter than it says
            connection.execute("PRAGMA writable_schema = ON")
        machines = list(_readable(connection, "SELECT record FROM machines"))
        # One by one: a page that is gone ends a question, and takes only its own rows with it.
        question = f"SELECT campaign, {SELECT.removeprefix('SELECT ')} WHERE id = ?"
        most = damaged.stat().st_size // LEAST_ROW_BYTES
        rows = [row for number in range(1, most) for row in _readable(connection, question, number)]
    for (record,) in machines:
        with suppress(ArtefactError):
            store.add_machine(Machine.from_json(record))
    new = 0
    for campaign, *row in rows:
        with suppress(ArtefactError):  # a row of which only a part is left
            new += store.add(_sample(tuple(row), damaged), campaign)
    if not rows:
        raise ArtefactError(f"salvage {damaged}", "nothing in it can be read", "Measure again")
    return new


def _readable(connection: sqlite3.Connection, question: str, *values: int) -> Iterator[tuple[Any, ...]]:
    """Yield rows up to where the file is damaged."""
    with suppress(sqlite3.Error, UnicodeDecodeError):
        yield from connection.execute(question, values)


def _sample(row: tuple[Any, ...], path: Path) -> Sample:
    try:
        fields = {"spec": KernelSpec.from_json(row[0]), **dict(zip((*PLAIN, *LAST), row[1:], strict=True))}
        return Sample.from_dict(fields)
    except (JugglerError, TypeError, ValueError) as error:
        fault = f"a row that is no sample ({error})"
        raise ArtefactError(
            f"read {path}", fault, "It was written by something else: leave it out"
        ) from error


def _floor(family: str, rows: list[tuple[Any, ...]]) -> NoiseFloor:
    latencies = np.array([row[1:] for row in rows if row[0] == family], np.float64)
    errors = 100.0 * np.abs(latencies[:, 1] - latencies[:, 0]) / latencies[:, 0]
    return NoiseFloor(
        family,
        len(latencies),
        float(errors.mean()),
        float(np.median(errors)),
        float(np.median(latencies[:, 2])),
    )


__all__ = ["NoiseFloor", "Store", "StoreError", "machine_digest", "salvage"]
