"""Run the program, in this process or in one of its own, and make a small real detector to run it on."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from juggler.cli.app import VERBS
from juggler.data import Records, load_record_set
from juggler.data.format import to_csv

PROGRAM = (sys.executable, "-c", "from juggler.cli.launch import main; main()")
PLAN = """
data = "synthetic"

[network]
name = "juggler_tabular"
widths = [4]
blocks = [1]
strides = [2]

[recipe]
epochs = 2
batch = 512
optimizer = "adamw"
rate = 0.02
accelerator = "cpu"
"""


@dataclass(frozen=True)
class Workshop:
    """A folder with a plan, a small detector in all its forms, and records to run it on."""

    folder: Path
    trained: Any
    deployed: Any
    records: Records

    @property
    def artefact(self) -> Path:
        return self.folder / "detector.onnx"

    @property
    def wide(self) -> Path:
        return self.folder / "detector-wide.onnx"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "detector.safetensors"

    @property
    def csv(self) -> Path:
        return self.folder / "records.csv"

    @classmethod
    def make(cls, folder: Path) -> Self:
        from juggler.models import Plan, train_detector  # noqa: PLC0415  # torch
        from juggler.runtime.deploy import deploy  # noqa: PLC0415

        (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
        trained = train_detector(Plan.read(folder / "plan.toml"), load_record_set("synthetic"))
        trained.save(folder / "detector.safetensors")
        records = load_record_set("synthetic").load("test")
        (folder / "records.csv").write_bytes(to_csv(records))
        return cls(folder, trained, deploy(trained, records, folder), records)


@dataclass(frozen=True)
class Outcome:
    """What a run of the program left: its exit code and both its outputs."""

    code: int
    out: str
    err: str

    def check(self, code: int, *words: str) -> Self:
        """Assert the exit code, the words on standard error, and that no traceback reached the user."""
        assert "Traceback" not in self.err, self.err
        assert self.code == code, (self.code, self.out, self.err)
        for word in words:
            assert word in self.err, (word, self.err)
        return self


def examples(verb: str) -> list[list[str]]:
    """Return the words of the examples that a verb's own help gives, each up to its first pipe."""
    text = " ".join((inspect.getdoc(VERBS.get(verb)) or "").split()).partition("Example")[2]
    lines = re.findall(rf"juggler {verb}[^;|]*", text)
    return [shlex.split(line.rstrip(". "))[1:] for line in lines]


def environment(**changes: str) -> dict[str, str]:
    """Return an environment for the program: one thread, no downloads, no data set, a wide terminal."""
    base = {name: value for name, value in os.environ.items() if name != "JUGGLER_DATA"}
    return {**base, "OMP_NUM_THREADS": "1", "JUGGLER_OFFLINE": "1", "COLUMNS": "240", **changes}


def run(*arguments: object, stdin: bytes | int | None = subprocess.DEVNULL, **options: Any) -> Outcome:
    """Run the program in a process of its own."""
    given = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(), **options}
    done = subprocess.run([*PROGRAM, *map(str, arguments)], **given, **options, timeout=120, check=False)
    return Outcome(done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode())


def start(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start the program and return at once."""
    return subprocess.Popen([*PROGRAM, *map(str, arguments)], env=environment(), **options)


class Program:
    """Run the program in this process: `program("info", path)`; ten times quicker than `run`."""

    def __init__(self, monkeypatch: Any, capfd: Any) -> None:
        from juggler.cli import console  # noqa: PLC0415

        self._monkeypatch, self._capfd = monkeypatch, capfd
        # Whoever imported the consoles first has set their width, by the environment of that moment.
        for one in (console.OUT, console.ERRORS):
            monkeypatch.setattr(one, "width", 240)

    def __call__(self, *arguments: object) -> Outcome:
        from juggler.cli.app import main  # noqa: PLC0415

        self._monkeypatch.setattr(sys, "argv", ["juggler", *map(str, arguments)])
        self._capfd.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = self._capfd.readouterr()
        return Outcome(code, out, err)
