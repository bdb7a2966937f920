"""`juggler reproduce`: the paper's tables and figures, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.audience import EVERYONE
from juggler.cli.console import OUT, bars, escape, stages_in_one

Names = Annotated[list[str], typer.Argument(help="table2, table3, merge-penalty, fig8, fig9, or all.")]
Paper = Annotated[bool, typer.Option("--paper", help="The paper's own sizes and runs, however long.")]
Backends = Annotated[str | None, typer.Option(help="Separated by commas; all that work here if absent.")]
Threads = Annotated[int | None, typer.Option(help="Cores a call may use.")]
Minutes = Annotated[float | None, typer.Option(help="What all of it may take together, about.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Measure again what an earlier run has left.")]
Name = Annotated[str | None, typer.Option(help="What the machine is called in the tables.")]
Out = Annotated[Path, typer.Option(help="Folder for results; a run that was stopped goes on there.")]


def reproduce(
    names: Names,
    paper: Paper = False,
    backends: Backends = None,
    threads: Threads = None,
    minutes: Minutes = None,
    fresh: Fresh = False,
    name: Name = None,
    out: Out = Path("reproduced"),
) -> None:
    """Measure the paper's tables and figures on this machine, beside the published values.

    Writes JSON, CSV and a figure for each, and for `all` one file with the whole machine, which is what the
    project takes in as a new column. Stopped and started again, it goes on where it was.

    Example: juggler reproduce table2 fig8 --backends onnxruntime,openvino --minutes 10
    """
    from juggler import reproduce as room  # noqa: PLC0415  # heavy
    from juggler.files import write_atomically  # noqa: PLC0415
    from juggler.report import reproduction_figure, reproduction_table, standalone  # noqa: PLC0415

    chosen = None if backends is None else tuple(part.strip() for part in backends.split(","))
    options = room.Options(paper, chosen, threads, minutes, fresh)
    results = []
    with bars() as progress:
        task = progress.add_task("getting ready", total=None)
        report = stages_in_one(progress, task)
        for result in room.reproduce(names, out, options, progress=report):
            svg = standalone(reproduction_figure(result)).encode()
            picture = write_atomically(out / f"{result.experiment}.svg", svg)
            written = (*room.write_reproduction(result, out), picture)
            progress.stop()
            OUT.print(reproduction_table(result))
            OUT.print(f"[green]✓[/] {escape(', '.join(map(str, written)))}", soft_wrap=True)
            progress.start()
            results.append(result)
    if "all" in names:
        path = room.write_machine(results, name or room.machine_name(results[0].machine), out)
        OUT.print(f"[green]✓[/] {escape(path)}: one file with the whole machine", soft_wrap=True)


VERB = reproduce
PANEL = EVERYONE
