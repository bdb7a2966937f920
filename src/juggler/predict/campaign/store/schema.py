"""The SQLite file of a campaign: made, opened, checked, and its failures told in words.

A row is committed as it comes, in SQLite's write-ahead log, so that a killed process loses at most the row
that it was writing. A file that cannot be trusted is refused and left as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from juggler.errors import ArtefactError, JugglerError
from juggler.sqlite_files import FileFormat, primary_code

BUSY_S = 30.0  # another writer holds the file for milliseconds
FLOORS = """SELECT a.family, a.machine, a.backend, a.precision, a.threads, a.digest,
            a.exec_ms AS first_ms, b.exec_ms AS again_ms,
            24.0 * (julianday(b.taken_at) - julianday(a.taken_at)) AS hours
        FROM samples a JOIN samples b USING (campaign, machine, backend, precision, threads, digest)
        WHERE b.drawn = 'retest' AND a.drawn <> 'retest'"""
TABLES = (
    "CREATE TABLE machines (digest TEXT PRIMARY KEY, record TEXT NOT NULL)",
    """CREATE TABLE campaigns (
        name TEXT PRIMARY KEY, settings TEXT NOT NULL, machine TEXT NOT NULL, started_at TEXT NOT NULL
    )""",
    """CREATE TABLE samples (
        id INTEGER PRIMARY KEY, campaign TEXT NOT NULL, family TEXT NOT NULL, digest TEXT NOT NULL,
        spec TEXT NOT NULL, backend TEXT NOT NULL, precision TEXT NOT NULL, threads INTEGER NOT NULL,
        pre_ms REAL NOT NULL, exec_ms REAL NOT NULL, post_ms REAL NOT NULL, spread REAL NOT NULL,
        rounds INTEGER NOT NULL, rejected INTEGER NOT NULL, drawn TEXT NOT NULL, machine TEXT NOT NULL,
        taken_at TEXT NOT NULL,
        UNIQUE (campaign, machine, backend, precision, threads, digest, drawn)
    )""",
    # Every round of every kernel, so that a campaign that is killed goes on within a block.
    """CREATE TABLE turns (
        campaign TEXT NOT NULL, plan TEXT NOT NULL, drawn TEXT NOT NULL, attempt INTEGER NOT NULL,
        round INTEGER NOT NULL, turn TEXT NOT NULL, took_s REAL NOT NULL,
        UNIQUE (campaign, plan, drawn, attempt, round)
    )""",
    "CREATE TABLE unfit (campaign TEXT NOT NULL, plan TEXT NOT NULL, reason TEXT, UNIQUE (campaign, plan))",
    "CREATE INDEX samples_by_family ON samples (family, drawn)",
    # A kernel and its second timing, much later: their difference is the floor that no prediction passes.
    f"""CREATE VIEW floors AS
        {FLOORS}""",
)


FILES = FileFormat("a campaign's database", mark=0x4A4C4142, version=1, statements=TABLES)


class StoreError(JugglerError):
    """Samples cannot be written: the disk is full, or the file is held or cannot be written to."""

    exit_code: ClassVar[int] = 8


def connect(path: Path, *, create: bool, busy_s: float) -> sqlite3.Connection:
    """Open a database of samples, made first where there is none and `create` says so.

    Raises:
        ArtefactError: there is none, it is no database of samples, of another format, or damaged.
        StoreError: it cannot be made, or another process holds it.
    """
    if not path.is_file() and not create:
        raise ArtefactError(f"open {path}", "no such file", "Measure one first: juggler campaign --db FILE")
    with sqlite_errors_translated(path):
        if create:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                fault = error.strerror or type(error).__name__
                raise StoreError(
                    f"make {path}", fault, "Name a file in a folder that you may write"
                ) from error
        try:
            connection = FILES.connect(path, create=create, busy_s=busy_s)
        except FileNotFoundError as error:
            raise ArtefactError(
                f"open {path}", "an empty file", "Measure into it: juggler campaign"
            ) from error
        try:
            _check(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def sqlite_errors_translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into what a person can act on.

    Raises:
        ArtefactError: the file is damaged or no database.
        StoreError: it cannot be written.
    """
    try:
        yield
    except UnicodeDecodeError as error:  # of SQLite's own message about a name in the file
        raise _damaged(path, str(error)) from error
    except sqlite3.Error as error:
        code = primary_code(error)
        action, promise = f"use {path}", "All samples written so far are kept"
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise _damaged(path, str(error)) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            fault, remedy = "another process holds it", f"{promise}. End that process, then run the same line"
        elif code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            fault = f"the disk is full or fails ({error})"
            remedy = f"{promise}. Make room, then run the same line again: it goes on where it stopped"
        else:
            fault, remedy = str(error), f"{promise}. Name a database that you may write to"
        raise StoreError(action, fault, remedy) from error


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Read every page once: a file that was cut off opens without complaint where its first page is whole."""
    connection.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing; a power cut the last rows
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _damaged(path, str(verdict))


def _damaged(path: Path, fault: str) -> ArtefactError:
    remedy = (
        "It is left as it is. Read what is left of it with: juggler campaign --db NEW --salvage "
        f"{path.name}; or name another file"
    )
    return ArtefactError(f"open {path}", f"damaged, cut off, or no database ({fault.strip()})", remedy)
