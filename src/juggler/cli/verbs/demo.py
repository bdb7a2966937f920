"""`juggler demo`: every room once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.progress import TaskID

from juggler.cli.audience import EVERYONE
from juggler.cli.console import ERRORS, OUT, bars, download_progress, escape
from juggler.data import Source
from juggler.nouns import Progress
from juggler.report import certificate_table, recall_table, scores_table, timings_table
from juggler.runtime.artefact import shipped

Out = Annotated[Path, typer.Option(help="Folder for artefacts, alerts and report.")]
Folder = Annotated[Path | None, typer.Option("--data", help="Folder or zip to look for NSL-KDD in first.")]
Backends = Annotated[str | None, typer.Option(help="Separated by commas; all that work here if absent.")]


def demo(out: Out = Path("juggler-demo"), data: Folder = None, backends: Backends = None) -> None:
    """Flatten the shipped detector before your eyes, certify, export, score, time, detect, report.

    Example: juggler demo --data ~/datasets/NSL_KDD.zip
    """
    with ERRORS.status("waking torch"):
        from juggler.models import TrainedDetector  # noqa: PLC0415  # torch takes two seconds to import
        from juggler.report.demo import SYNTHETIC, find_records, run_demo  # noqa: PLC0415

    with bars() as progress:
        tasks: dict[str, TaskID] = {}

        def report(value: Progress) -> None:
            stage = value.stage
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=value.total)
            progress.update(tasks[stage], completed=value.done, total=value.total)

        name, records = find_records(Source(folder=data, progress=download_progress(progress)))
        if name.synthetic:
            progress.console.print(Panel(SYNTHETIC, style="bold yellow"))
        result = run_demo(
            TrainedDetector.load(shipped("nsl_kdd.safetensors")),
            name,
            records,
            out,
            progress=report,
            backends=None if backends is None else [name.strip() for name in backends.split(",")],
            on_rewrite=lambda r: progress.console.print(
                f"[dim]{r.rule:>16}[/] {' + '.join(r.nodes)} [bold]->[/] {r.result}", highlight=False
            ),
        )
    flattened = result.deployed.flattened
    OUT.print(certificate_table(flattened.certificate))
    OUT.print(scores_table(result.scores))
    OUT.print(recall_table(result.scores[:1]))
    OUT.print(timings_table(result.measured.timings, result.measured.speedups))
    for skip in result.measured.skipped:
        OUT.print(f"[yellow]–[/] {escape(str(skip))}", soft_wrap=True)
    if name.synthetic:
        OUT.print(Panel(SYNTHETIC, style="bold yellow"))
    before, after = flattened.wide_graph, flattened.flat_graph
    OUT.print(
        f"wide: {len(before.nodes)} ops, {before.macs:,} MACs; flat: {len(after.nodes)} ops, {after.macs:,}"
    )
    OUT.print(
        f"[green]✓[/] alerts   {escape(result.alerts_path.resolve())} ({result.summary.alerts} of them)",
        soft_wrap=True,
    )
    OUT.print(f"[green]✓[/] artefact {escape(result.deployed.flat.path.resolve())}", soft_wrap=True)
    OUT.print(f"[green]✓[/] report   {escape(result.report_path.resolve())}", soft_wrap=True)


VERB = demo
PANEL = EVERYONE
