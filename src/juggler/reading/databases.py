"""SQLite files that somebody else may have made: nothing of theirs runs, and no question goes on for ever."""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path
from typing import Literal

from juggler.reading.content import MIB

Mode = Literal["ro", "rw", "rwc", "immutable"]
Schema = frozenset[tuple[str, str, str]]

_STEPS = 1 << 16  # of SQLite's machine, between two looks at how many a question has taken
_MOST_STEPS = 1 << 31  # a minute or two: a question over all samples of a year takes some seconds
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 64 * MIB,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: MIB,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
}
_FORBIDDEN = frozenset(
    {
        sqlite3.SQLITE_ATTACH,
        sqlite3.SQLITE_DETACH,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_CREATE_VTABLE,
        sqlite3.SQLITE_DROP_VTABLE,
    }
)


def connect(path: Path, mode: Mode, *, busy_s: float = 5.0) -> sqlite3.Connection:
    """Open a database, in autocommit, so that nothing of what it holds can act.

    Functions and views of its schema are not trusted, no other file can be attached, triggers do not run,
    cells are checked, texts are bounded, and a question that takes more than two thousand million steps of
    SQLite's machine ends in `sqlite3.OperationalError: interrupted`.

    Args:
        path: the file.
        mode: `ro` reads, `rw` writes too, `rwc` makes it where there is none, `immutable` reads without locks
            and logs, for a folder that is read-only.
        busy_s: wait so long for another process that writes.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    query = "immutable=1" if mode == "immutable" else f"mode={mode}"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{query}", uri=True, timeout=busy_s, isolation_level=None
    )
    try:
        for limit, value in _LIMITS.items():
            connection.setlimit(limit, value)
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            connection.execute(f"PRAGMA {pragma}")
        connection.set_authorizer(_authorise)
        steps = _Steps()
        connection.set_progress_handler(steps.count, _STEPS)
        connection.set_trace_callback(steps.restart)
    except BaseException:
        connection.close()
        raise
    return connection


def schema_of(connection: sqlite3.Connection) -> Schema:
    """Return what a database holds: the type, name and text of every table, index, view and trigger."""
    rows = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master LIMIT 1000")
    return frozenset((str(kind), str(name), " ".join(str(text).split())) for kind, name, text in rows)


@cache
def schema_after(statements: tuple[str, ...]) -> Schema:
    """Return what a new database holds once the statements have been carried out."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for statement in statements:
            connection.execute(statement)
        return schema_of(connection)
    finally:
        connection.close()


class _Steps:
    """Counts what one question takes."""

    def __init__(self) -> None:
        self._taken = 0

    def restart(self, _: str) -> None:
        self._taken = 0

    def count(self) -> int:
        self._taken += _STEPS
        return int(self._taken > _MOST_STEPS)


def _authorise(
    action: int, first: str | None, second: str | None, database: str | None, source: str | None
) -> int:
    """Say whether a statement may do something."""
    if action in _FORBIDDEN or (source is not None and action != sqlite3.SQLITE_READ):
        return sqlite3.SQLITE_DENY
    is_loading = action == sqlite3.SQLITE_FUNCTION and second == "load_extension"
    return sqlite3.SQLITE_DENY if is_loading else sqlite3.SQLITE_OK
