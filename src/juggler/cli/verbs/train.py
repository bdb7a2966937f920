"""`juggler train`: make a detector, or a classifier of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from juggler.cli.audience import EVERYONE
from juggler.cli.training import train_classifier, train_detector
from juggler.data import is_pictures, load_set
from juggler.errors import ConfigError
from juggler.registry import normalise

What = Annotated[str, typer.Argument(help="Data set, such as nsl-kdd or cifar10, or a plan's TOML file.")]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="Plan as TOML; the shipped one if absent.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the run; runs/DATASET if absent.")]
Folder = Annotated[
    Path | None, typer.Option("--data", help="Folder or zip that holds it; looked for if absent.")
]
Features = Annotated[str | None, typer.Option(help="header (28 columns) or all (41); the plan's if absent.")]
Rate = Annotated[float | None, typer.Option(help="False-alarm rate to set the threshold for.")]
Number = Annotated[int | None, typer.Option(help="Seed of everything drawn.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training part.")]
Place = Annotated[str | None, typer.Option(help="Fabric's accelerator: cpu, gpu, auto.")]
Count = Annotated[
    int | None, typer.Option(help="Number of devices; with --strategy ddp they share the work.")
]
Strategy = Annotated[str | None, typer.Option(help="Fabric's strategy, such as ddp.")]
Precision = Annotated[str | None, typer.Option(help="32-true or bf16-mixed.")]


def train(
    data_set: What,
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
    """Train a wide network, flatten it, certify it, export it.

    Of records, such as nsl-kdd, it makes a detector, chosen on held-out attack types. Of pictures, such as
    cifar10 or a folder of them, it makes a classifier. The run's folder holds plan.toml, which makes it
    again, a log and a resumable state for each training, the wide network as safetensors and the flat one as
    ONNX. Run the same line again to go on after a kill.

    Examples: juggler train nsl-kdd --seed 3 --out runs/three;
    juggler train runs/three/plan.toml --out runs/again
    """
    from juggler.models import ClassifierPlan, Plan  # noqa: PLC0415  # torch takes two seconds to import

    if plan_file is None and data_set.endswith(".toml"):
        plan_file, data_set = Path(data_set), _named_in(Path(data_set))
    recipe = {
        "seed": seed,
        "epochs": epochs,
        "accelerator": accelerator,
        "devices": devices,
        "strategy": strategy,
        "precision": precision,
    }
    fields = {"features": features, "false_alarm_rate": false_alarm_rate}
    folder = out or Path("runs") / normalise(data_set)
    loaded = load_set(data_set)
    if is_pictures(loaded):
        if _given(fields):
            raise ConfigError(
                f"train on {data_set}",
                f"--{next(iter(_given(fields))).replace('_', '-')} is for records, and these are pictures",
                "Leave it out",
            )
        classifier = ClassifierPlan.read(plan_file) if plan_file else ClassifierPlan.shipped(data_set)
        classifier = replace(classifier.with_recipe(**_given(recipe)), data=data_set)
        train_classifier(classifier, loaded, data, folder)
        return
    plan = Plan.read(plan_file) if plan_file else Plan.shipped(data_set)
    changed_recipe = replace(plan.recipe, **_given(recipe))
    train_detector(
        replace(plan, data=data_set, recipe=changed_recipe, **_given(fields)), loaded, data, folder
    )


def _named_in(path: Path) -> str:
    """Return the data set that a plan names."""
    from juggler.models.toml_file import read_toml  # noqa: PLC0415

    named = read_toml(path, "the plan").get("data")
    if not isinstance(named, str):
        raise ConfigError(f"train by {path}", "it names no data set", 'Add a line such as data = "cifar10"')
    return named


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


VERB = train
PANEL = EVERYONE
