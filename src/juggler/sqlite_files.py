"""SQLite files that carry a mark: whose they are, and of which format.

A file of somebody else, or of another format, is refused and left as it is. An empty one is made whole in one
transaction, whoever else is making it at the same moment.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from juggler.errors import ArtefactError
from juggler.reading import databases


@dataclass(frozen=True)
class FileFormat:
    """What the files of one kind have in common.

    Attributes:
        kind: what a file is, with its article, for messages.
        mark: SQLite's `application_id`.
        version: SQLite's `user_version`, raised when the tables change.
        statements: that make the tables.
    """

    kind: str
    mark: int
    version: int
    statements: tuple[str, ...]

    def connect(
        self, path: Path, *, create: bool, busy_s: float, immutable: bool = False
    ) -> sqlite3.Connection:
        """Open a file, in autocommit; its tables are made where it has none and `create` says so.

        Args:
            path: the file.
            create: make the file and its tables where there are none.
            busy_s: wait so long for another process that writes.
            immutable: read without locks and logs, for a folder that is read-only.

        Raises:
            ArtefactError: a database of something else, or of another format.
            FileNotFoundError: the file is an empty database, and `create` is not set.
            sqlite3.Error: it cannot be opened, read or made.
        """
        mode: databases.Mode = "immutable" if immutable else "rwc" if create else "rw"
        connection = databases.connect(path, mode, busy_s=busy_s)
        try:
            # All in one look, for another process may be making the tables right now.
            connection.execute("BEGIN")
            is_made = self._is_made(connection, path)
            connection.execute("COMMIT")
            if not is_made:
                if not create:
                    raise FileNotFoundError(path)
                self._make(connection, path)
        except UnicodeDecodeError as error:  # of SQLite's own message about a name in the file
            connection.close()
            fault = f"{self.kind} that is damaged: a name in it is no text"
            raise ArtefactError(f"open {path}", fault, "Name another file") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_made(self, connection: sqlite3.Connection, path: Path) -> bool:
        """Say whether the tables are there; False where the database is empty."""
        mark, version, tables = (
            connection.execute(question).fetchone()[0]
            for question in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_master",
            )
        )
        if (mark, version, tables) == (0, 0, 0):
            return False
        if mark != self.mark:
            raise ArtefactError(f"open {path}", "a database of something else", "Name another file")
        if version != self.version:
            raise ArtefactError(
                f"open {path}",
                f"{self.kind} of format {version}; this release has {self.version}",
                "Use the release of juggler that wrote it, or name another file; this one is left as it is",
            )
        # What else somebody has put in could act: a trigger, or a view in the place of a table.
        if databases.schema_of(connection) != databases.schema_after(self.statements):
            raise ArtefactError(
                f"open {path}",
                f"{self.kind} with other tables, indices, views or triggers than its format has",
                "Name another file; this one is left as it is",
            )
        return True

    def _make(self, connection: sqlite3.Connection, path: Path) -> None:
        """Make the tables, unless another process has made them meanwhile."""
        with suppress(sqlite3.OperationalError):  # another process is setting it, or the slower mode stays
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not self._is_made(connection, path):
                for statement in self.statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {self.mark}")
                connection.execute(f"PRAGMA user_version = {self.version}")
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def primary_code(error: Exception) -> int | None:
    """Return SQLite's primary code for an error, without what extends it; None for another's error."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF
