"""What width pays: networks of one flat shape, trained wide and trained plain, beside ResNets of their depth.

The parts, their scales and their seeds are width_study.toml's. Seed 0 of every network comes first: at both
rates of its part, of which the better on validation is every seed's. Each seed has all networks of a part
before the next begins, and one teacher file teaches all seeds of a part. A study that was stopped or killed
goes on at the step where it was a minute ago: run the same line again. Each run's folder in runs/width holds
its plan, its log, the norms of its gradients, the wide network and its result.

    python -m benchmarks.accuracy.width_study              # trains what is not finished
    python -m benchmarks.accuracy.width_result             # the result files, of the runs that are finished
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy.one_run import carried_out, kept
from benchmarks.accuracy.scale import PRESETS, RUNS, Scale, Task, plan_of
from benchmarks.accuracy.variants import Cast, Variant, read_cast
from benchmarks.common import ROOT
from juggler.cli.console import ERRORS
from juggler.data import PictureSet, is_pictures, load_set
from juggler.errors import ConfigError
from juggler.models.toml_file import check_fields, read_toml, table
from juggler.nouns import Progress

FILE = Path(__file__).parent / "width_study.toml"
FOLDER = RUNS.parent / "width"
Result = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """Networks that are compared at one scale.

    Attributes:
        name: its key in the file.
        scale: of its runs.
        rates: learning rates, of which each network has the better.
        teacher: name of the network that teaches those that have a teacher.
        seeds: how many of each variant, by its name.
        gaps: names of variants: the first minus the second.
    """

    name: str
    scale: Scale
    rates: tuple[float, ...]
    teacher: str
    seeds: Mapping[str, int]
    gaps: tuple[tuple[str, str], ...] = ()


def main() -> None:
    """Train what is not finished."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the runs are kept (runs/width)")
    options = parser.parse_args()
    train_all(read_parts(), read_cast(), options.folder)


def read_parts(path: Path = FILE) -> tuple[Part, ...]:
    """Read the parts of the study.

    Raises:
        ConfigError: the file cannot be read, or a field in it is not known.
    """
    source = f"the study {path.name}"
    values = read_toml(path, "the study")
    check_fields(values, ("parts",), source)
    return tuple(_part(name, part, source) for name, part in table(values, "parts", source).items())


def _part(name: str, values: Mapping[str, Any], source: str) -> Part:
    source = f"{source}, {name}"
    check_fields(values, [field.name for field in dataclasses.fields(Part) if field.name != "name"], source)
    size = table(values, "scale", source)
    check_fields(size, [field.name for field in dataclasses.fields(Scale)], source)
    seeds = table(values, "seeds", source)
    scale = replace(PRESETS["cpu"], **{**size, "depths": tuple(size["depths"]), "seeds": max(seeds.values())})
    pairs = tuple((first, second) for first, second in values["gaps"])
    return Part(name, scale, tuple(values["rates"]), values["teacher"], seeds, pairs)


def train_all(parts: Sequence[Part], cast: Cast, folder: Path, data: PictureSet | None = None) -> None:
    """Do the runs that have no result yet.

    Args:
        parts: of the study.
        cast: the variants.
        folder: where runs are kept.
        data: the pictures of all parts; by their scales' names where not given.
    """
    commit = commit_at(ROOT)
    for part, name, seed in in_order(parts):
        for task in tasks_of(part, cast, name, seed, folder):
            if kept(task, folder) is not None:
                continue
            title = f"{name}-{task.depth}, seed {seed}, rate {task.plan.learner.recipe.learning_rate:g}"
            result = carried_out(
                task,
                data or pictures_of(part),
                folder,
                EpochLines(title).tell,
                {"part": part.name, "commit": commit},
            )
            ERRORS.print(f"{title}: {outcome(result)}", soft_wrap=True)


def pictures_of(part: Part) -> PictureSet:
    """Return the data set of a part.

    Raises:
        ConfigError: it holds no pictures.
    """
    data = load_set(part.scale.data)
    if not is_pictures(data):
        raise ConfigError(f"run the study on {part.scale.data}", "it holds no pictures", "Give a picture set")
    return data


def in_order(parts: Sequence[Part]) -> Iterator[tuple[Part, str, int]]:
    """Yield part, variant and seed of every run, seeds outermost: what is compared comes together."""
    for seed in range(max(part.scale.seeds for part in parts)):
        for part in parts:
            yield from ((part, name, seed) for name, seeds in part.seeds.items() if seed < seeds)


def tasks_of(part: Part, cast: Cast, name: str, seed: int, folder: Path) -> list[Task]:
    """Return the runs of a variant by a seed: at all rates by the first, then at the better one.

    There are none where the network failed at all rates.
    """
    if seed == 0:
        return [task_at(part, cast, name, seed, rate) for rate in part.rates]
    rate = better_rate(part, [kept(task, folder) for task in tasks_of(part, cast, name, 0, folder)])
    return [] if rate is None else [task_at(part, cast, name, seed, rate)]


def task_at(part: Part, cast: Cast, name: str, seed: int, rate: float) -> Task:
    """Return the run of a variant by a seed at a learning rate, which is not the teacher's."""
    variant: Variant = cast.variants[name]
    at_rate = replace(variant, recipe={**variant.recipe, "rate": rate})
    taught = replace(cast, teacher={**cast.teacher, "network": part.teacher})
    depth = part.scale.depths[0]
    plan = plan_of(at_rate, depth, seed, scale=part.scale, cast=taught, widths={})
    return Task(variant, depth, seed, plan)


def better_rate(part: Part, results: Sequence[Result | None]) -> float | None:
    """Return the rate whose run is the more accurate on validation; the part's first of equals.

    Args:
        part: of the study.
        results: of seed 0, one a rate; None where a run is not finished.

    Returns:
        None where a run is not finished, or all failed.
    """
    if any(result is None for result in results):
        return None
    scores = {
        result["plan"]["recipe"]["rate"]: result["scores"]["accuracy_validation"]
        for result in results
        if result is not None and "failed" not in result
    }
    return max((rate for rate in part.rates if rate in scores), key=lambda rate: scores[rate], default=None)


def outcome(result: Result) -> str:
    """Say what came of a run; by validation, for the test part is for the report."""
    if "failed" in result:
        return f"FAILED, {result['failed']}"
    scores = result["scores"]
    return (
        f"{scores['accuracy_validation']:.2%} on validation, {scores['accuracy_train']:.2%} on training "
        f"pictures, {result['training_s'] / 60:.1f} min"
    )


class EpochLines:
    """Say in a line that an epoch of a run is done.

    Args:
        title: of the run.
    """

    def __init__(self, title: str) -> None:
        self._title = title

    def tell(self, progress: Progress) -> None:
        """Take what training tells after a step."""
        detail = progress.detail
        if detail["step"] == detail["steps"]:
            epochs = f"epoch {detail['epoch']} of {detail['epochs']}"
            ERRORS.print(
                f"{self._title}, {progress.stage}, {epochs}, loss {detail['loss']:.3f}", soft_wrap=True
            )


def commit_at(root: Path) -> str | None:
    """Return the commit that is checked out, None where there is no repository."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


if __name__ == "__main__":
    main()
