"""How large the study is, by flags alone, and the plan of each of its runs at that size."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.accuracy.variants import Cast, Variant
from benchmarks.common import ROOT
from juggler.errors import ConfigError
from juggler.files import write_atomically
from juggler.models import ClassifierPlan, Learner, Recipe

RUNS = ROOT / "runs" / "accuracy"
STUDIES = {"cpu": "accuracy", "gpu": "accuracy_gpu"}
"""The result file of each preset of scale, by name."""
PAPER = Path(__file__).parent / "paper.toml"
PAPERS_EPOCHS, PAPERS_WARMUP, PAPERS_BATCH = 120, 5, 256
LEAST_SEEDS = 3
Widths = Mapping[str, Mapping[int, tuple[int, ...]]]
"""Channels of the stages of networks whose widths are searched for, by kind and depth: see widths.py."""
Asked = Mapping[str, int]
"""How many seeds of each variant were asked for, by its name."""


@dataclass(frozen=True)
class Scale:
    """The size of a study; everything else is paper.toml's and variants.toml's.

    Attributes:
        preset: `cpu` or `gpu`: which result file it is.
        data: the data set.
        depths: of the networks.
        width: times the networks' own widths.
        subset: pictures to train on, evenly over the classes; 0 for all that are not held out.
        validation: pictures to choose by, held out of the training part.
        epochs: of every run.
        batch: pictures a step; the rate goes with it.
        seeds: runs of each variant.
        teacher_width: of the teacher, times `width`.
        precision: the recipe's.
        accelerator: the recipe's.
        channels_last: the recipe's.
    """

    preset: str = "cpu"
    data: str = "cifar10"
    depths: tuple[int, ...] = (18,)
    width: float = 0.25
    subset: int = 10_000
    validation: int = 2_500
    epochs: int = 12
    batch: int = 128
    seeds: int = LEAST_SEEDS
    teacher_width: float = 1.5
    precision: str = "32-true"
    accelerator: str = "cpu"
    channels_last: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {**dataclasses.asdict(self), "depths": list(self.depths)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scale:
        """Build the scale from what `to_dict` gave."""
        return cls(**{**values, "depths": tuple(values["depths"])})

    @property
    def words(self) -> str:
        """Say the scale in a line."""
        pictures = f"{self.subset:,} pictures" if self.subset else "all pictures but those held out"
        return (
            f"{self.data}, depth {' and '.join(map(str, self.depths))}, width {self.width:g}, {pictures}, "
            f"{self.validation:,} held out to choose by, {self.epochs} epochs, batch {self.batch}, "
            f"{self.precision}"
        )


PRESETS = {
    "cpu": Scale(),
    "gpu": Scale(
        preset="gpu",
        depths=(18, 50),
        width=1.0,
        subset=0,
        validation=5_000,
        epochs=60,
        batch=256,
        teacher_width=2.0,
        precision="bf16-mixed",
        accelerator="gpu",
        channels_last=True,
    ),
}
QUICK = dataclasses.replace(
    PRESETS["cpu"], width=0.125, subset=600, validation=150, epochs=1, seeds=1, batch=64
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add what sets the scale; a flag that is not given is the preset's."""
    add = parser.add_argument
    add("--gpu", action="store_true", help="full width, depths 18 and 50, 60 epochs, all pictures, bf16")
    add("--data", help="cifar10, cifar100 or any picture set that load_set knows")
    add("--depths", type=int, nargs="+", help="18, 34, 50, 101, 152")
    add("--width", type=float, help="times the networks' own widths")
    add("--subset", type=int, help="pictures to train on; 0 for all that are not held out")
    add(
        "--validation",
        type=int,
        help="pictures held out to choose by; a quarter of the subset, 5,000 at most",
    )
    add("--epochs", type=int, help="of every run; the paper's are 120")
    add("--batch", type=int, help="pictures a step; the rate goes with it")
    add("--seeds", type=int, help="runs of each variant")
    add("--teacher-width", type=float, help="of the teacher, times --width")
    add("--precision", help="32-true or bf16-mixed")
    add("--accelerator", help="cpu, gpu, auto")
    add("--channels-last", action="store_true", default=None, help="lay pictures out with channels innermost")


def scale_of(given: argparse.Namespace) -> Scale:
    """Return the scale that the flags ask for."""
    preset = QUICK if getattr(given, "quick", False) else PRESETS["gpu" if given.gpu else "cpu"]
    named = {f.name: getattr(given, f.name, None) for f in dataclasses.fields(Scale)}
    own = {name: value for name, value in named.items() if value is not None}
    if own.get("subset") and "validation" not in own:
        own["validation"] = min(5_000, max(own["subset"] // 4, 50))
    if "depths" in own:
        own["depths"] = tuple(own["depths"])
    return dataclasses.replace(preset, **own)


@dataclass(frozen=True)
class Task:
    """One run: a variant at a depth by a seed.

    Attributes:
        variant: which.
        depth: of the network; the first of the study for a variant that has none.
        seed: of everything drawn.
        plan: by which `juggler train` makes it again.
    """

    variant: Variant
    depth: int
    seed: int
    plan: ClassifierPlan

    @property
    def folder(self) -> str:
        """Return the name of the run's folder."""
        depth = "any" if self.variant.once else self.depth
        return f"{self.variant.name}-{depth}-{self.seed}-{self.plan.digest[:8]}"


def tasks(
    scale: Scale, cast: Cast, chosen: Sequence[Variant], widths: Widths, asked: Asked | None = None
) -> Iterator[Task]:
    """Yield every run, seeds outermost: a study that is cut short has each variant once.

    Args:
        scale: its size.
        cast: who teaches.
        chosen: who takes part.
        widths: of the stages of networks whose widths are searched for, by size and depth.
        asked: seeds of each variant; the scale's of one that is not named.
    """
    asked = asked or {}
    for seed, depth, variant in product(range(scale.seeds), scale.depths, chosen):
        once = variant.once and depth != scale.depths[0]
        if not once and seed < asked.get(variant.name, scale.seeds):
            plan = plan_of(variant, depth, seed, scale=scale, cast=cast, widths=widths)
            yield Task(variant, depth, seed, plan)


def plan_of(
    variant: Variant, depth: int, seed: int, *, scale: Scale, cast: Cast, widths: Widths
) -> ClassifierPlan:
    """Return the plan of a run: the paper's recipe at the scale, with what the variant says.

    Raises:
        ConfigError: a width that is to be searched for is not known.
    """
    paper = ClassifierPlan.read(PAPER)
    recipe = recipe_of(scale, paper.learner.recipe)
    own = recipe.changed({"rate": recipe.learning_rate * variant.rate_times, "seed": seed, **variant.recipe})
    teacher = None
    if variant.teacher:
        width = scale.width * scale.teacher_width
        name = cast.teacher["network"].replace("{depth}", str(depth))
        taught = dataclasses.replace(recipe, seed=cast.teacher["seed"])
        teacher = Learner(name, {"stem": "cifar", "width": width}, taught)
    return dataclasses.replace(
        paper,
        data=scale.data,
        subset=scale.subset + scale.validation if scale.subset else 0,
        validation=scale.validation,
        learner=Learner(
            variant.network.replace("{depth}", str(depth)), options_of(variant, depth, scale, widths), own
        ),
        teacher=teacher,
    )


def options_of(variant: Variant, depth: int, scale: Scale, widths: Widths) -> dict[str, Any]:
    """Return the options of a variant's network.

    Raises:
        ConfigError: its widths are to be searched for, and are not known.
    """
    if not variant.sized:
        return {"stem": "cifar", "width": scale.width, **variant.options}
    if depth not in widths.get(variant.sized, {}):
        raise ConfigError(
            f"make {variant.name} at depth {depth}",
            "its widths, by latency, are not known",
            "Run `python -m benchmarks.accuracy.widths` with the study's flags",
        )
    return {"stem": "cifar", "widths": list(widths[variant.sized][depth]), **variant.options}


def recipe_of(scale: Scale, paper: Recipe) -> Recipe:
    """Return the paper's recipe at the scale: its warm-up keeps its share, the rate goes with the batch."""
    return dataclasses.replace(
        paper,
        epochs=scale.epochs,
        batch_size=scale.batch,
        learning_rate=paper.learning_rate * scale.batch / PAPERS_BATCH,
        warmup_epochs=PAPERS_WARMUP / PAPERS_EPOCHS * scale.epochs,
        precision=scale.precision,
        accelerator=scale.accelerator,
        channels_last=scale.channels_last,
    )


def remember(scale: Scale, asked: Asked, folder: Path) -> None:
    """Keep the scale and the seeds that were asked for at it beside their runs, for the report.

    What was asked for before at the same scale is kept too: of each variant the most seeds that were.
    """
    path = folder / f"study-{scale.preset}.json"
    known: Asked = {}
    if path.is_file():
        before, known = remembered(scale.preset, folder)
        known = known if replace(before, seeds=scale.seeds) == scale else {}
    every = {name: max(known.get(name, 0), asked.get(name, 0)) for name in (*known, *asked)}
    kept = {"scale": replace(scale, seeds=max(every.values())).to_dict(), "seeds": every}
    write_atomically(path, f"{json.dumps(kept, indent=1)}\n".encode())


def remembered(preset: str, folder: Path) -> tuple[Scale, Asked]:
    """Return the scale of the last study of a preset, and how many seeds of each variant were asked for.

    Raises:
        ConfigError: there was none.
    """
    path = folder / f"study-{preset}.json"
    if not path.is_file():
        raise ConfigError(
            f"find the study of the preset {preset}",
            f"there is no {path.name} in {folder}",
            "Run `python -m benchmarks.accuracy.run` first, with --gpu for that preset",
        )
    kept = json.loads(path.read_text(encoding="utf-8"))
    return Scale.from_dict(kept["scale"]), dict(kept["seeds"])
