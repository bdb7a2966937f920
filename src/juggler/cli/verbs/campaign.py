"""`juggler campaign`: measure this machine kernel by kernel, so that networks can be predicted on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.audience import HARDWARE
from juggler.cli.campaigns import chosen_chooser, exit_code, measured, print_outcome, read_back
from juggler.cli.console import OUT, bar, escape

Backend = Annotated[str, typer.Option(help="What runs the kernels: see juggler info.")]
Minutes = Annotated[
    float | None, typer.Option(help="Under measurement, all runs of the campaign together; 40 if absent.")
]
Samples = Annotated[int | None, typer.Option(min=1, help="Stop at so many kernels.")]
Db = Annotated[Path, typer.Option("--db", help="The database; the same line goes on where it stopped.")]
Families = Annotated[
    str | None, typer.Option(help="Kernels to measure, such as conv,pool,dense; all if absent.")
]
Threads = Annotated[int, typer.Option(min=1, help="Cores that a kernel may use.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all draws.")]
Retest = Annotated[int, typer.Option(min=0, help="Kernels measured again at the end: the floor of errors.")]
Active = Annotated[
    bool,
    typer.Option(help="Let a committee choose half of the kernels: where it disagrees most for the time."),
]
Fleet = Annotated[
    str | None,
    typer.Option(
        help="Measure on many machines: HOST:PORT of a Ray cluster, or local:2 for two workers here."
    ),
]
Export = Annotated[Path | None, typer.Option(help="Write all samples of the database as parquet.")]
Salvage = Annotated[Path | None, typer.Option(help="First copy what can be read of a damaged database.")]


def campaign(
    backend: Backend = "onnxruntime",
    minutes: Minutes = None,
    samples: Samples = None,
    db: Db = Path("lab.db"),
    families: Families = None,
    threads: Threads = 1,
    seed: Seed = 0,
    retest: Retest = 200,
    active: Active = True,
    fleet: Fleet = None,
    export: Export = None,
    salvage: Salvage = None,
) -> None:
    """Measure kernels on this machine, in three phases, and keep them in a database.

    Each sample is kept as it comes: Ctrl-C at any time, and the same line goes on. Leave the machine alone
    meanwhile; what disturbs it is seen and measured again, which takes time.

    Examples: juggler campaign --backend onnxruntime --minutes 40 --db lab.db;

    juggler campaign --samples 500 --families conv,dense --db lab.db --export samples.parquet;

    juggler campaign --fleet 10.0.0.1:6379 --minutes 40 --db fleet.db
    """
    from juggler.predict.campaign.options import CampaignOptions  # noqa: PLC0415
    from juggler.predict.campaign.sampling import families as shares  # noqa: PLC0415
    from juggler.predict.campaign.store.samples import Store  # noqa: PLC0415

    options = CampaignOptions(
        backend=backend,
        minutes=40.0 if minutes is None and samples is None else minutes,
        samples=samples,
        families=shares(families),
        threads=threads,
        seed=seed,
        retest=retest,
    )
    with Store.open(db, create=True) as store:
        if salvage is not None:
            read_back(salvage, store)
        with bar(f"measuring kernels on {escape(backend)}") as progress:
            chooser = chosen_chooser(active, seed)
            outcome = measured(store, fleet, options, chooser=chooser, progress=progress)
        print_outcome(outcome, db)
        if export is not None:
            OUT.print(f"[green]✓[/] {escape(str(store.export_parquet(export)))}", soft_wrap=True)
    if code := exit_code(outcome):
        raise typer.Exit(code)


VERB = campaign
PANEL = HARDWARE
