"""Files are whole or not there, and what killed writers left is cleared away, but not what others write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from juggler import files
from juggler.errors import ConfigError
from juggler.files import LOCK, SCRATCH, lock_folder, scratch_folder, sweep, sweep_folders, write_atomically

WRITER = """
import os, sys, time
from pathlib import Path
from juggler import files
def wait(*_):
    print("writing", flush=True)
    time.sleep(60)
files.os.fsync = wait
files.write_atomically(Path(sys.argv[1]), b"half")
"""


@pytest.fixture(autouse=True)
def a_new_process(monkeypatch):
    monkeypatch.setattr(files, "_swept", set())


def make_old(path):
    before = time.time() - 3600
    os.utime(path, (before, before))


def left_beside(target):
    return [path for path in target.parent.iterdir() if path.name.startswith(f".{target.name}.")]


def test_what_a_killed_writer_left_is_cleared_away_and_a_living_one_keeps_his(tmp_path):
    target = tmp_path / "result.json"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, target], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout.readline() == "writing\n"
        (part,) = left_beside(target)
        make_old(part)
        write_atomically(target, b"other")
        assert left_beside(target) == [part], "its writer lives"
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
    files._swept.clear()
    write_atomically(target, b"new")
    assert left_beside(target) == []
    assert target.read_bytes() == b"new"


def test_what_is_young_or_of_another_file_is_left(tmp_path):
    target = tmp_path / "a.json"
    young, other, longer = (
        tmp_path / f".{name}" for name in ("a.json.abcdefgh", "b.json.abcdefgh", "a.json.abcdefghi")
    )
    for path in (young, other, longer):
        path.write_bytes(b"")
    make_old(other)
    make_old(longer)
    sweep(target)
    assert {*tmp_path.iterdir()} == {young, other, longer}


def test_folders_of_the_dead_are_cleared_away(tmp_path):
    dead, alive, foreign = (tmp_path / f"{SCRATCH}{name}" for name in ("dead", "alive", "foreign"))
    for folder in (dead, alive, foreign):
        folder.mkdir()
    lock_folder(dead).close()
    make_old(dead / LOCK)
    with lock_folder(alive):
        make_old(alive / LOCK)
        with scratch_folder(tmp_path) as folder:
            (folder / "file").touch()
            assert {*tmp_path.iterdir()} == {alive, foreign, folder}
        assert {*tmp_path.iterdir()} == {alive, foreign}
    sweep_folders(tmp_path / "missing")


def test_a_file_that_cannot_be_written_is_told_and_the_old_one_stays(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(ConfigError, match="Name a file"):
        write_atomically(tmp_path / "file" / "below", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
