"""`juggler train`: make a detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import TaskID

from juggler.cli.console import OUT, SYNTHETIC, bars, download_progress
from juggler.data import Source, load_set
from juggler.files import write_atomically
from juggler.registry import normalise

Set = Annotated[str, typer.Argument(help="Data set, such as nsl-kdd or synthetic.")]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="Plan as TOML; the shipped one if absent.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the run; runs/DATASET if absent.")]
Folder = Annotated[Path | None, typer.Option("--data", help="Folder or zip to look in first.")]
Features = Annotated[str | None, typer.Option(help="header (28 columns) or all (41); the plan's if absent.")]
Rate = Annotated[float | None, typer.Option(help="False-alarm rate to set the threshold for.")]
Number = Annotated[int | None, typer.Option(help="Seed of everything drawn.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training records.")]
Place = Annotated[str | None, typer.Option(help="Fabric's accelerator: cpu, gpu, auto.")]
Count = Annotated[
    int | None, typer.Option(help="Number of devices; with --strategy ddp they share the work.")
]
Strategy = Annotated[str | None, typer.Option(help="Fabric's strategy, such as ddp.")]
Precision = Annotated[str | None, typer.Option(help="32-true or bf16-mixed.")]


def train(
    data_set: Set,
    plan_file: PlanFile = None,
    out: Out = None,
    data: Folder = None,
    features: Features = None,
    false_alarm_rate: Rate = None,
    seed: Number = None,
    epochs: Epochs = None,
    accelerator: Place = None,
    devices: Count = None,
    strategy: Strategy = None,
    precision: Precision = None,
) -> None:
    """Train a wide detector, choose on held-out attack types, flatten, certify, export.

    The run's folder holds plan.toml, a log and a resumable state for each training, detector.safetensors
    (wide), detector.onnx (flat) and detector-wide.onnx. Run the same line again to go on after a kill.

    Example: juggler train nsl-kdd --seed 3 --out runs/three
    """
    from juggler.models import Plan, train_detector  # noqa: PLC0415  # torch takes two seconds to import
    from juggler.report import certificate_table  # noqa: PLC0415
    from juggler.runtime.deploy import deploy  # noqa: PLC0415

    plan = Plan.read(plan_file) if plan_file else Plan.shipped(data_set)
    recipe = {
        "seed": seed,
        "epochs": epochs,
        "accelerator": accelerator,
        "devices": devices,
        "strategy": strategy,
        "precision": precision,
    }
    fields = {"features": features, "false_alarm_rate": false_alarm_rate}
    plan = replace(
        plan,
        data=data_set,
        recipe=replace(plan.recipe, **_given(recipe)),
        **_given(fields),
    )
    folder = out or Path("runs") / normalise(data_set)
    if not (folder / "plan.toml").exists():  # an earlier run's stays until this one is known to go on from it
        write_atomically(folder / "plan.toml", plan.to_toml().encode())
    with bars() as progress:
        found = load_set(data_set, Source(folder=data, progress=download_progress(progress)))
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, epoch: int, epochs: int, step: int, steps: int, loss: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=epochs * steps)
            done = (epoch - 1) * steps + step
            progress.update(tasks[stage], completed=done, description=f"{stage}, loss {loss:.4f}")

        detector = train_detector(plan, found, folder=folder, progress=tell)
        for task in progress.tasks:  # the last training stops early, at the epoch that was chosen
            progress.update(task.id, total=task.completed)
        write_atomically(folder / "plan.toml", plan.to_toml().encode())
        detector.save(folder / "detector.safetensors")
        deployed = deploy(detector, found.training(), folder)
    if found.synthetic:
        OUT.print(SYNTHETIC, style="bold yellow", soft_wrap=True)
    OUT.print(certificate_table(deployed.flattened.certificate))
    OUT.print(f"epoch {detector.provenance['epoch']}, threshold {detector.threshold:.4f}")
    OUT.print(f"[green]✓[/] {deployed.flat.path}", soft_wrap=True)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


VERB = train
