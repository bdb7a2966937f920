"""What every verb writes with: results to standard output, everything else to standard error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
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

from juggler import nouns
from juggler.nouns import ReportProgress

OUT = Console(highlight=False)
ERRORS = Console(stderr=True)
SYNTHETIC = (
    "SYNTHETIC DATA: the package made these records up itself; scores on them say nothing of a network."
)


def escape(text: str) -> str:
    """Return text that rich prints as it is, brackets included."""
    from rich.markup import escape as escaped  # noqa: PLC0415  # the name would shadow this one

    return escaped(text)


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
