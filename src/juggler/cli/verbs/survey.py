"""`juggler survey`: networks side by side: accuracy, work, time, power, and the hardware each would want."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.audience import NETWORK
from juggler.cli.console import OUT, bars, escape, stages_in_one
from juggler.cli.surveying import options_of, written

Models = Annotated[
    list[str] | None,
    typer.Argument(
        help="As `juggler cost` takes them; `all` is the paper's seven and Juggler's. Default: all."
    ),
]
Budget = Annotated[int, typer.Option(min=1, help="Processing elements that an array may have.")]
Precision = Annotated[str, typer.Option(help="Bits, separated by commas.")]
Device = Annotated[str, typer.Option(help="Whose energy is modelled: a name, or a TOML file.")]
Shape = Annotated[str, typer.Option(help="Input of networks of your own: channels,height,width.")]
NoTime = Annotated[bool, typer.Option("--no-time", help="Time nothing.")]
Rounds = Annotated[int, typer.Option(min=1, help="Turns of each network in the race.")]
Backend = Annotated[str, typer.Option(help="What runs the networks.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Cores a call may use.")]
Pictures = Annotated[
    Path | None, typer.Option(help="Folder of pictures, one folder a class: measure accuracy.")
]
Sample = Annotated[int | None, typer.Option(min=1, help="Test on so many of the pictures.")]
Weights = Annotated[Path | None, typer.Option(help="Folder with NAME.safetensors or NAME.onnx a network.")]
Out = Annotated[Path, typer.Option(help="Folder for the page, the pictures, CSV and JSON.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def survey(
    models: Models = None,
    budget: Budget = 16_384,
    precision: Precision = "8,16,32",
    device: Device = "tpu_like",
    shape: Shape = "3,224,224",
    no_time: NoTime = False,
    rounds: Rounds = 15,
    backend: Backend = "onnxruntime",
    threads: Threads = None,
    pictures: Pictures = None,
    sample: Sample = None,
    weights: Weights = None,
    out: Out = Path("survey"),
    json: Json = False,
) -> None:
    """Compare networks: which of them, on which array, at which precision, and why.

    Counts each, finds its best systolic array within the budget, models its energy, times all of them in
    turns, and measures accuracy where pictures and weights are given; else accuracies are quoted. Every
    figure says where it comes from. Writes one HTML page, the paper's figures, CSV and JSON.

    Example: juggler survey all mynets:Net --budget 4096 --precision 8,16 --pictures val --weights trained
    """
    from juggler import survey as room  # noqa: PLC0415  # heavy
    from juggler.report import sheet_table  # noqa: PLC0415
    from juggler.report.survey.sheets import sheets_for_terminal  # noqa: PLC0415

    chosen = options_of(
        budget=budget,
        precision=precision,
        device=device,
        no_time=no_time,
        rounds=rounds,
        backend=backend,
        threads=threads,
        pictures=pictures,
        sample=sample,
        weights=weights,
    )
    with bars() as progress:
        task = progress.add_task("getting ready", total=None)
        report = stages_in_one(progress, task)
        surveyed = room.survey(room.candidates(models or [], shape), chosen, progress=report)
    paths = written(surveyed, out)
    if json:
        typer.echo(surveyed.to_json(indent=1))
        return
    for sheet in sheets_for_terminal(surveyed):
        OUT.print(sheet_table(sheet))
    for line in surveyed.verdict:
        OUT.print(f"• {line}", soft_wrap=True, markup=False)
    OUT.print(f"[green]✓[/] {escape(', '.join(map(str, paths)))}", soft_wrap=True)


VERB = survey
PANEL = NETWORK
