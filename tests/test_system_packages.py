"""`make system` asks for what is missing and for nothing else, and leaves to root what is root's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def system(tmp_path: Path):
    """Run `make system` on other lines, as root or not; apt-get says only how it was called."""

    def run(lines: str, *, user: int) -> str:
        (tmp_path / "packages.txt").write_text(f"# a comment\n\n{lines}", encoding="utf-8")
        for name, script in {"id": f"echo {user}", "apt-get": 'echo "apt-get $*"'}.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
            (tmp_path / name).chmod(0o755)
        done = subprocess.run(
            ["make", "-s", "system", f"SYSTEM_PACKAGES={tmp_path / 'packages.txt'}"],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    return run


LINES = "here  command -v sh\nabsent  command -v no-such-program\nless  test -f /no/such/file\n"


def test_where_all_is_there_nothing_is_installed(system) -> None:
    out = system('here  command -v "${NO_SUCH:-sh}"\n', user=0)
    assert out == "The system has all that the tests need.\n"


def test_root_installs_what_is_missing(system) -> None:
    update, install = system(LINES, user=0).splitlines()
    assert update == "apt-get update -qq"
    assert install.startswith("apt-get install ") and install.endswith(" absent less")


def test_others_are_told_the_line_to_run(system) -> None:
    assert "Run: sudo apt-get install absent less" in system(LINES, user=1000)


def test_every_package_has_a_check() -> None:
    lines = (ROOT / "system-packages.txt").read_text(encoding="utf-8").splitlines()
    packages = [line.split(None, 1) for line in lines if line.strip() and not line.startswith("#")]
    assert packages and all(len(words) == 2 for words in packages)
