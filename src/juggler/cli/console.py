"""What every verb writes with: results to standard output, everything else to standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

OUT = Console(highlight=False)
ERRORS = Console(stderr=True)
SYNTHETIC = (
    "SYNTHETIC DATA: the package made these records up itself; scores on them say nothing of a network."
)

Tell = Callable[[float, float | None], None]


def escape(text: str) -> str:
    """Return text that rich prints as it is, brackets included."""
    from rich.markup import escape as escaped  # noqa: PLC0415  # the name would shadow this one

    return escaped(text)


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
def bar(what: str) -> Iterator[Tell]:
    """Show one progress bar; the block is given a function that takes done and total (None: unknown)."""
    with bars() as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def download_progress(progress: Progress) -> Callable[[int, int | None], None]:
    """Return a callback for a download: a bar of bytes that appears when the first byte does."""
    tasks: list[TaskID] = []

    def tell(done_bytes: int, total_bytes: int | None) -> None:
        if not tasks:
            tasks.append(progress.add_task("downloading the data set", total=total_bytes))
        progress.update(tasks[0], completed=done_bytes, total=total_bytes)

    return tell
