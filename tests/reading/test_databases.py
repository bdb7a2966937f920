"""A database of somebody else can do nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from juggler.reading import databases
from juggler.reading.databases import connect, schema_after, schema_of

TABLES = ("CREATE TABLE a (x INTEGER PRIMARY KEY, y TEXT)", "CREATE INDEX i ON a (y)")
DENIED = (sqlite3.DatabaseError,)


def made(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in (*TABLES, *statements):
            connection.execute(statement)
    return path


def test_it_reads_and_writes_and_knows_its_tables(tmp_path):
    with closing(connect(tmp_path / "new", "rwc")) as connection:
        for statement in TABLES:
            connection.execute(statement)
        connection.execute("INSERT INTO a VALUES (1, 'b')")
        assert schema_of(connection) == schema_after(TABLES)
    with closing(connect(tmp_path / "new", "ro")) as connection:
        assert connection.execute("SELECT * FROM a").fetchall() == [(1, "b")]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM a")
    with pytest.raises(sqlite3.OperationalError):
        connect(tmp_path / "missing", "rw")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END",
        "CREATE VIEW v AS SELECT * FROM a",
        "CREATE TABLE b (z)",
        "CREATE INDEX j ON a (x, y)",
    ],
)
def test_what_was_added_is_seen(tmp_path, statement):
    with closing(connect(made(tmp_path / "a", statement), "rw")) as connection:
        assert schema_of(connection) != schema_after(TABLES)


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH 'elsewhere' AS b",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "SELECT load_extension('x')",
    ],
)
def test_what_acts_is_denied(tmp_path, statement):
    with closing(connect(made(tmp_path / "a"), "rw")) as connection, pytest.raises(*DENIED):
        connection.execute(statement)


def test_a_trigger_and_an_endless_view_do_not_run(tmp_path):
    endless = "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT * FROM n"
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END"
    with closing(connect(made(tmp_path / "a", endless, trigger), "rw")) as connection:
        for statement in ("SELECT * FROM v", "INSERT INTO a VALUES (1, 'b')"):
            with pytest.raises(*DENIED):
                connection.execute(statement)


def test_a_question_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "_MOST_STEPS", 1 << 20)
    with closing(connect(made(tmp_path / "a"), "rw")) as connection:
        connection.executemany("INSERT INTO a VALUES (?, 'b')", [(number,) for number in range(500)])
        for _ in range(3):  # each has its own steps
            assert connection.execute("SELECT count(*) FROM a, a b").fetchone() == (250_000,)
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute("SELECT count(*) FROM a, a b, a c").fetchone()
