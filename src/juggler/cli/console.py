"""What every verb writes with: results to standard output, everything else to standard error."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from juggler import nouns
from juggler.display import printable
from juggler.nouns import ReportProgress


class _Results(Console):
    """Standard output: a table keeps all its digits, and where the terminal is narrower, it wraps lines."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, tables in the width that they need."""
        if any(isinstance(thing, Table) for thing in objects):
            wide = self.options.update(width=_WIDEST)
            needed = max(self.measure(x, options=wide).maximum for x in objects if isinstance(x, Table))
            options = {"soft_wrap": True, "width": max(self.width, needed), **options}
        super().print(*objects, **options)


class _Errors(Console):
    """Standard error: what cannot be written there is lost, and nothing else is.

    A full disk, a reader who hung up or one who no longer reads must neither end what runs nor take its exit
    code.
    """

    _wait_ms = 1000

    def _check_buffer(self) -> None:
        if not self._is_open():
            del self._buffer[:]
            return
        try:
            super()._check_buffer()
        except (OSError, ValueError):
            del self._buffer[:]
            self._silence()

    def on_broken_pipe(self) -> None:
        """Write nothing more, and go on."""
        self._silence()

    def _is_open(self) -> bool:
        """Say whether a write would be taken within a second, and after one that was not, at once."""
        try:
            waiting = select.poll()
            waiting.register(self.file.fileno(), select.POLLOUT)
            is_open = bool(waiting.poll(self._wait_ms))
        except (OSError, ValueError):  # no descriptor: a test's, or none at all
            return True
        self._wait_ms = 1000 if is_open else 0
        return is_open

    def _silence(self) -> None:
        """Give the descriptor to nobody, so that what is left in buffers has where to go at the end."""
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stderr.fileno())
            os.close(nowhere)


OUT = _Results(highlight=False)
ERRORS = _Errors(stderr=True)
_WIDEST = 10_000  # characters of a table that is not cut
_LONGEST = 100_000  # characters of a text: a traceback is cut before it comes here
SYNTHETIC = (
    "SYNTHETIC DATA: the package made these records up itself; scores on them say nothing of a network."
)


def escape(text: str) -> str:
    """Return text that rich prints as it is, brackets included, and that no terminal obeys."""
    from rich.markup import escape as escaped  # noqa: PLC0415  # the name would shadow this one

    return escaped(printable(text, _LONGEST, keep="\n"))


@contextmanager
def bars() -> Iterator[Progress]:
    """Show progress bars on standard error while the block runs; plain lines where it is no terminal."""
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERRORS) as progress:
        yield progress


@contextmanager
def bar(what: str) -> Iterator[ReportProgress]:
    """Show one progress bar; the block is given what reports to it."""
    with bars() as progress:
        task = progress.add_task(what, total=None)
        yield lambda value: progress.update(task, completed=value.done, total=value.total)


def download_progress(progress: Progress) -> ReportProgress:
    """Return a callback for a download: a bar of bytes that appears when the first byte does."""
    tasks: list[TaskID] = []

    def report(value: nouns.Progress) -> None:
        if not tasks:
            tasks.append(progress.add_task("downloading the data set", total=value.total))
        progress.update(tasks[0], completed=value.done, total=value.total)

    return report


def stages_in_one(progress: Progress, task: TaskID) -> ReportProgress:
    """Return what shows the stages of a piece of work in one bar, one after the other."""
    return lambda value: progress.update(
        task, description=value.stage, completed=value.done, total=value.total
    )
