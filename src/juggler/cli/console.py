"""What every verb writes with: results to standard output, everything else to standard error."""

from __future__ import annotations

import os
import select
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table

from juggler import nouns
from juggler.display import printable
from juggler.nouns import ReportProgress


class SafeConsole(Console):
    """A console that shows control characters within text, and obeys none; its own it sends as ever."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the pieces of what is shown; the last place that every text passes."""
        for segment in super().render(renderable, options):
            is_plain = segment.control or segment.text.isprintable()
            text = segment.text if is_plain else printable(segment.text, len(segment.text), keep="\n")
            yield segment if text == segment.text else Segment(text, segment.style)


class _Results(SafeConsole):
    """Standard output: a table keeps all its digits, and where the terminal is narrower, it wraps lines."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, tables in the width that they need."""
        width, wide = self._width, self.options.update(width=_WIDEST)
        needed = [self.measure(thing, options=wide).maximum for thing in objects if isinstance(thing, Table)]
        if needed and max(needed) > self.width:
            self._width, options = max(needed), {**options, "crop": False}
        try:
            super().print(*objects, **options)
        finally:
            self._width = width


class _Errors(SafeConsole):
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
SHOWN = 100_000  # characters of a text: a traceback is cut before it comes here
SYNTHETIC = (
    "SYNTHETIC DATA: the package made these records up itself; scores on them say nothing of a network."
)


def escape(text: object, keep: str = "") -> str:
    """Return text that rich prints as it is, brackets included, and that no terminal obeys.

    Args:
        text: a field of a file, a name, a path: of anything else than text its `str`.
        keep: control characters that stay, such as the ends of lines of a text of the house's own.
    """
    from rich.markup import escape as escaped  # noqa: PLC0415  # the name would shadow this one

    return escaped(printable(text, SHOWN, keep))


def show_warnings() -> None:
    """Print the warnings of this process as everything else on standard error is printed."""

    def show(  # noqa: PLR0917  # as Python calls it
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if file is None:
            ERRORS.print(f"[yellow]juggler:[/] {escape(message)}", soft_wrap=True, highlight=False)

    warnings.showwarning = show


@contextmanager
def bars() -> Iterator[Progress]:
    """Show progress bars on standard error while the block runs; a line a minute where it is no terminal."""
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    kind = Progress if ERRORS.is_terminal else LineProgress
    with kind(*columns, console=ERRORS) as progress:
        yield progress


class LineProgress(Progress):
    """Progress where there is no terminal: a line a minute of what is being done, and none of short work."""

    every_s = 60.0

    def __init__(self, *columns: ProgressColumn, console: Console) -> None:
        super().__init__(*columns, console=console, disable=True)
        self._began_s = self._told_s = time.monotonic()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Note how far a task is, and print it where the last line is a minute old."""
        super().update(task_id, **changes)
        now_s = time.monotonic()
        if now_s - self._told_s < self.every_s:
            return
        self._told_s = now_s
        task = next(task for task in self.tasks if task.id == task_id)
        share = f"{task.completed:.0f}" if not task.total else f"{task.completed / task.total:.0%}"
        minutes = (now_s - self._began_s) / 60.0
        self.console.print(f"{task.description}: {share} after {minutes:.0f} min", soft_wrap=True)


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
