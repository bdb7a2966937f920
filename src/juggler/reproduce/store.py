"""Keep what was measured: cells on disk as soon as they are done, one run at a time in a folder."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from juggler.errors import ArtefactError, ConfigError
from juggler.files import write_atomically
from juggler.nouns import Machine
from juggler.reading.content import read_text
from juggler.reading.documents import JSON_LIMITS
from juggler.reading.request import Request
from juggler.reproduce.results import FORMAT, Cell, MachineResults, Reproduction, to_csv


class Store:
    """Cells in a folder, each under a digest of all that it depends on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, experiment: str, depends_on: Mapping[str, Any]) -> Path:
        """Return where the cell is kept that depends on these things."""
        text = json.dumps(depends_on, sort_keys=True)
        return self.folder / "cells" / f"{experiment}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"

    def read(self, path: Path) -> Cell | None:
        """Return a kept cell; None where there is none, or one of another release."""
        try:
            return Cell.from_json(read_text(path, Request("read a cell", "Delete it"), JSON_LIMITS.size))
        except (ArtefactError, TypeError):
            return None

    def write(self, path: Path, cell: Cell) -> None:
        """Keep a cell, whole or not at all.

        Raises:
            ConfigError: it cannot be written.
        """
        write_atomically(path, cell.to_json(indent=1).encode())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder while the block runs.

    Raises:
        ConfigError: another run holds it, or it cannot be written to.
    """
    action = f"reproduce into {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    except OSError as error:
        raise ConfigError(
            action, error.strerror or type(error).__name__, "Name a folder that you may write to"
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                action,
                "another run is using the folder",
                "Wait for it: two at a time would spoil each other's figures",
            ) from error
        yield


def write_reproduction(result: Reproduction, folder: Path) -> tuple[Path, Path]:
    """Write a result as JSON and as CSV; return both paths."""
    data, table = folder / f"{result.experiment}.json", folder / f"{result.experiment}.csv"
    write_atomically(data, f"{result.to_json(indent=1)}\n".encode())
    write_atomically(table, to_csv(result).encode())
    return data, table


def write_machine(results: Sequence[Reproduction], name: str, folder: Path) -> Path:
    """Write all that a machine has reproduced as one file, under the machine's name; return its path."""
    path = folder / f"{slug(name)}.json"
    machine_results = MachineResults(FORMAT, name, tuple(results))
    return write_atomically(path, f"{machine_results.to_json(indent=1)}\n".encode())


def machine_name(machine: Machine) -> str:
    """Return a name for a machine that nobody has named."""
    words = re.sub(r"\((R|TM|tm)\)|CPU|@.*", " ", machine.accelerator or machine.cpu)
    return f"{' '.join(words.split())}, {machine.cores} cores"


def slug(name: str) -> str:
    """Return a name as a file's name: small letters, digits and hyphens.

    Raises:
        ConfigError: nothing is left of it.
    """
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80]
    if not text:
        raise ConfigError(
            f"name the machine {name!r}", "no letter or digit", "Give a name such as 'Raspberry Pi 5'"
        )
    return text
