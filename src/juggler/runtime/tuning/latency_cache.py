"""Measured latencies, kept in one SQLite file that several processes share.

A latency belongs to a network's structure and to a place: the machine, the backend, its release, the threads
and the precision. The key holds all of them, so latencies of two places never meet; those of releases gone by
stay in the file and are not read.

A cache may be lost at any time and must never stop whoever uses it. What cannot be read is measured again;
what cannot be written is kept in memory, and said once.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_dir

from juggler.errors import ArtefactError
from juggler.nouns import Noun
from juggler.sqlite_files import FileFormat, primary_code

T = TypeVar("T")
Row = tuple[str | float | int | None, ...]

FILE = "prices.sqlite"
FORMAT = 1  # of the table; part of every key too, so raise it when the way of timing changes
MARK = 0x4A505243  # SQLite's application_id: a database of somebody else is never written to
BUSY_S = 10.0  # another process holds the file for milliseconds
BESIDE = 3  # files tried beside one that is no cache of this format
TABLES = (
    """CREATE TABLE prices (
        key TEXT NOT NULL, latency_ms REAL NOT NULL, low_ms REAL, high_ms REAL, rounds INTEGER NOT NULL,
        machine TEXT NOT NULL, backend TEXT NOT NULL, release TEXT NOT NULL, threads INTEGER,
        precision TEXT NOT NULL, date TEXT NOT NULL
    )""",
    "CREATE INDEX prices_by_key ON prices (key)",
)
FILES = FileFormat("a cache of latencies", MARK, FORMAT, TABLES)
INSERT = f"INSERT INTO prices VALUES ({', '.join('?' * 11)})"  # noqa: S608  # question marks only
SELECT = "SELECT latency_ms, low_ms, high_ms, rounds FROM prices WHERE key = ? ORDER BY rowid DESC LIMIT 1"
# No database, a damaged one, and one whose table is another: SQLite's primary codes.
NO_CACHE = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR})


@dataclass(frozen=True)
class Place(Noun):
    """Where a latency holds, besides the network that it is of.

    Attributes:
        machine: fingerprint of the machine.
        backend: what ran the network.
        release: of the backend.
        threads: cores that one call may use; None is the backend's own choice.
        precision: what it ran in.
    """

    machine: str
    backend: str
    release: str
    threads: int | None
    precision: str


@dataclass(frozen=True)
class Latency(Noun):
    """How long one call takes, measured, in milliseconds.

    Attributes:
        latency_ms: the shortest call.
        low_ms: lower end of the 95 % interval of the median round's shortest call, where there is one; far
            above `latency_ms` where the machine was busy.
        high_ms: upper end.
        rounds: how many rounds were timed.
    """

    latency_ms: float
    low_ms: float | None = None
    high_ms: float | None = None
    rounds: int = 0


class LatencyCache:
    """Keep latencies by name and place; safe under several writers, each killed at any moment.

    Args:
        path: the SQLite file; None is the usual one, `prices.sqlite` in the user's cache folder. It is made
            when the first latency is written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = Path(user_cache_dir("juggler")) / FILE if path is None else Path(path)
        self._file: Path | None = self.path
        self._beside = 0
        self._writes = True
        self._memory: dict[str, Latency] = {}

    @classmethod
    def in_memory(cls) -> LatencyCache:
        """Return a cache that forgets everything with the process."""
        cache = cls(Path(FILE))
        cache._file = None
        return cache

    def get(self, names: Sequence[str], place: Place) -> dict[str, Latency]:
        """Return the latencies that are known, by name, the newest of each."""
        keys = {name: _key(name, place) for name in names}
        unknown = [key for key in keys.values() if key not in self._memory]
        if unknown:
            self._memory |= self._on_disk(partial(_select, keys=unknown), writes=False) or {}
        return {name: self._memory[key] for name, key in keys.items() if key in self._memory}

    def put(self, latencies: Mapping[str, Latency], place: Place) -> None:
        """Keep latencies by name, all of them or none."""
        keyed = {_key(name, place): latency for name, latency in latencies.items()}
        self._memory |= keyed
        if keyed and self._writes:
            date = datetime.now(UTC).isoformat(timespec="seconds")
            rows: list[Row] = [(key, *astuple(p), *astuple(place), date) for key, p in keyed.items()]
            self._on_disk(partial(_insert, rows=rows), writes=True)

    def _on_disk(self, work: Callable[[sqlite3.Connection], T], *, writes: bool) -> T | None:
        """Do the work on the file, or on one beside it where that is no cache; None where none serves."""
        while self._file is not None:
            try:
                # Opened anew each time, in a millisecond: a connection would not outlive a fork.
                with closing(_connect(self._file, writes=writes)) as connection:
                    return work(connection)
            except (sqlite3.Error, OSError, ArtefactError) as error:
                if not _is_no_cache(error):
                    if writes:
                        self._give_up(error)
                    return None
                self._pass_over(error)
        return None

    def _pass_over(self, error: Exception) -> None:
        """Leave a file that is no cache as it is, for it may be another release's, and take the next name.

        It is never moved away: a process that has it open would remove the write-ahead log of its successor.
        """
        bad, self._beside = self._file, self._beside + 1
        reason = error.found if isinstance(error, ArtefactError) else str(error)
        self._file = (
            self.path.with_name(f"{self.path.name}.{self._beside}") if self._beside <= BESIDE else None
        )
        then = f"latencies are kept in {self._file}" if self._file else "latencies are kept in memory only"
        text = f"{bad} is no cache of latencies for this release: {reason}. It is left as it is; {then}"
        warnings.warn(f"{text}. Delete it, if nobody else needs it", RuntimeWarning, stacklevel=2)

    def _give_up(self, error: Exception) -> None:
        self._writes = False
        warnings.warn(
            f"measured latencies cannot be written to {self._file}: {error}. They are kept in memory, and "
            "measured again next time. Make room, or name a file that you may write to",
            RuntimeWarning,
            stacklevel=2,
        )


def _key(name: str, place: Place) -> str:
    return hashlib.sha256(f"{FORMAT}|{place.to_json()}|{name}".encode()).hexdigest()


def _connect(path: Path, *, writes: bool) -> sqlite3.Connection:
    """Open a cache, made first where there is none and it is to be written.

    Raises:
        ArtefactError: a database, but no cache of this format.
        FileNotFoundError: nothing to read yet.
    """
    if writes:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return FILES.connect(path, create=writes, busy_s=BUSY_S)
    except sqlite3.OperationalError as error:
        cannot = primary_code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if writes or not cannot or not path.is_file() or Path(f"{path}-wal").exists():
            raise
    # In a folder that is read-only SQLite cannot make its log, and needs none if nobody else has one.
    return FILES.connect(path, create=False, busy_s=BUSY_S, immutable=True)


def _insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing; a power cut a latency
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT, rows)
    connection.execute("COMMIT")


def _select(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Latency]:
    rows = {key: connection.execute(SELECT, (key,)).fetchone() for key in keys}
    return {key: Latency(*row) for key, row in rows.items() if row is not None and _is_latency(row)}


def _is_latency(row: Row) -> bool:
    """Say whether a row holds what `put` writes: SQLite itself takes any type in any column."""
    latency_ms, low_ms, high_ms, rounds = row
    ends = all(end is None or isinstance(end, float) for end in (low_ms, high_ms))
    return isinstance(latency_ms, float) and 0.0 < latency_ms < math.inf and ends and isinstance(rounds, int)


def _is_no_cache(error: Exception) -> bool:
    return isinstance(error, ArtefactError) or primary_code(error) in NO_CACHE
