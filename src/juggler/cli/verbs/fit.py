"""`juggler fit`: train and score every learner on a campaign, and keep a predictor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from juggler.cli.audience import HARDWARE
from juggler.cli.console import OUT, bar, escape

Db = Annotated[Path, typer.Argument(help="A database of juggler campaign.")]
Out = Annotated[Path | None, typer.Option(help="The predictor; DB, ending in .predictor, if absent.")]
Learners = Annotated[
    str | None, typer.Option(help="Learners to score, separated by commas; all if absent, none scores none.")
]
Use = Annotated[
    str | None,
    typer.Option(help="Learners that the predictor is chosen from; counted,roofline_trees if absent."),
]
Device = Annotated[str | None, typer.Option(help="What to call the device; as the database if absent.")]
Split = Annotated[str, typer.Option(help="What is held out for the scores: random kernels, or batch sizes.")]
Machine = Annotated[str | None, typer.Option(help="Digest of one machine, where the database holds several.")]
Networks = Annotated[
    int, typer.Option(min=0, help="Networks to time on this machine, where none are kept beside DB; 0: none.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of splits and learners.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write all scores as JSON.")]

Report = Annotated[
    Path | None,
    typer.Option(
        help="Write the paper's tables and figures there: one page, SVG, CSV; published beside ours."
    ),
]
Measured = Annotated[
    Path | None,
    typer.Option(help="Networks of the report: a result of benchmarks/predict/networks.py."),
]


def fit(
    db: Db,
    out: Out = None,
    learners: Learners = None,
    use: Use = None,
    device: Device = None,
    split: Split = "random",
    machine: Machine = None,
    networks: Networks = 120,
    seed: Seed = 0,
    json: Json = None,
    report: Report = None,
    measured: Measured = None,
) -> None:
    """Train every learner on the same samples of a campaign, score all on the same others, keep a predictor.

    The networks among the learners take minutes; --learners names fewer. The predictor takes for each family
    the learner that does best on a part of its training samples, and intervals from samples it never saw.
    How kernels add up is fitted on networks drawn at random, timed in a minute or two and kept beside DB.

    Examples: juggler fit lab.db;

    juggler fit lab.db --learners roofline_trees,svr --out xeon.predictor;

    juggler fit lab.db --split batch --json scores.json --report report
    """
    from juggler.cli.fit_reporting import read_measured, write_fit_report  # noqa: PLC0415
    from juggler.cli.fitting import compared, fit_and_print, write_scores  # noqa: PLC0415
    from juggler.predict.campaign.networks import networks_for  # noqa: PLC0415
    from juggler.predict.campaign.store.samples import Store  # noqa: PLC0415

    points = read_measured(measured)
    histories: dict[str, Any] | None = None if report is None else {}
    with Store.open(db) as store:
        with bar("scoring learners") as progress:
            comparison = compared(
                store, learners, split=split, machine=machine, seed=seed, progress=progress,
                histories=histories,
            )  # fmt: skip
        with bar("timing networks, unless they are kept") as progress:
            timed = networks_for(store, count=networks, machine=machine, seed=seed, progress=progress)
        with bar("fitting the predictor") as progress:
            predictor, fitted = fit_and_print(
                store, use, timed, device=device or db.stem, machine=machine, seed=seed, progress=progress
            )
        path = predictor.save(out or db.with_suffix(".predictor"))
        OUT.print(f"[green]✓[/] {escape(str(path))}", soft_wrap=True)
        if report is not None:
            with bar("writing the report") as progress:
                page = write_fit_report(
                    store, predictor=predictor, report=fitted, comparison=comparison,
                    histories=histories or {},
                    timed=timed, folder=report, measured=points, machine=machine, split=split,
                    progress=progress,
                )  # fmt: skip
            OUT.print(f"[green]✓[/] {escape(str(page))}", soft_wrap=True)
    if json is not None:
        OUT.print(f"[green]✓[/] {escape(str(write_scores(comparison, fitted, json)))}", soft_wrap=True)


VERB = fit
PANEL = HARDWARE
