"""The sides of the NSL-KDD study: the protocol's own detector, the paper's ResNets and XGBoost by it too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import xgboost

from juggler.cli.console import bars
from juggler.data import DataSet
from juggler.errors import ConfigError
from juggler.files import write_atomically
from juggler.metrics import alarm_scores, threshold_for
from juggler.models import Plan, TrainedDetector, probabilities, train_detector
from juggler.models.detector.distillation_set import LABELS_FILE
from juggler.models.detector.protocol import RATES
from juggler.models.detector.teacher import Teacher, Trees, fit_trees
from juggler.nouns import Progress, ReportProgress, as_stage

XGBOOST = Teacher(trees=200, depth=6, learning_rate=0.1, record_share=0.8, column_share=0.5, ensemble_size=1)
# The paper's own networks, in their CIFAR form.
BASELINES: Mapping[str, Mapping[str, Any]] = {
    name: {"stem": "cifar", "width": 0.25} for name in ("resnet34", "resnet50")
}
BASELINE_NOTE = (
    "The paper's baselines at a quarter of their width, on the same record images with the same teacher, "
    "recipe and protocol: at full width, with sixteen times the work, they would train for days on two cores."
)
DETECTOR_FILE = "detector.safetensors"


@dataclass(frozen=True)
class Side:
    """A trained detector of either kind: probabilities of records, and its threshold for each rate."""

    probabilities: Callable[[Any], Any]
    thresholds: dict[float, float]
    provenance: dict[str, Any]


@contextmanager
def bar(what: str) -> Iterator[ReportProgress]:
    """Show a bar a stage."""
    with bars() as display:
        tasks: dict[str, Any] = {}

        def report(progress: Progress) -> None:
            stage = progress.stage
            if stage not in tasks:
                tasks[stage] = display.add_task(f"{what}, {stage}", total=progress.total)
            display.update(tasks[stage], completed=progress.done)

        yield report


def detector_side(plan: Plan, data: DataSet, place: Path, report: ReportProgress) -> Side:
    """Train a detector by the protocol, or load it where that was done."""
    path = place / DETECTOR_FILE
    if path.is_file():
        detector = TrainedDetector.load(path)
        # Read back first: a field that the release which made it did not have yet was at its default.
        if Plan.from_dict(detector.provenance["plan"]).to_dict() != plan.to_dict():
            raise ConfigError(f"go on in {place}", "a detector of another plan", "Name another --folder")
    else:
        detector = train_detector(plan, data, folder=place, progress=report)
        detector.save(path)
    folds = detector.provenance["folds"]
    thresholds = {rate: median(fold[f"threshold_at_{rate}"] for fold in folds) for rate in RATES}
    return Side(
        lambda records: probabilities(detector.network, detector.encoder.encode(records)),
        thresholds,
        dict(detector.provenance),
    )


def baseline_side(name: str, plan: Plan, data: DataSet, place: Path, report: ReportProgress) -> Side:
    """Train one of the paper's networks by the same protocol, in a folder within that of the seed."""
    own = place / name
    lend_lessons(place, own)
    return detector_side(baseline_plan(name, plan), data, own, partial(_named, report, name))


def baseline_plan(name: str, plan: Plan) -> Plan:
    """Return the same plan for one of the paper's networks."""
    recipe = replace(plan.recipe, channels_last=True)  # a third faster, and the same arithmetic
    return replace(plan, network=name, options=dict(BASELINES[name]), recipe=recipe)


def lend_lessons(source: Path, place: Path) -> None:
    """Copy what teachers said in one run of a seed to another, which checks that it answers its question.

    A teacher depends on records, seed and teacher alone, and takes longer to fit than a small network.
    """
    for lesson in sorted(source.glob(f"*/{LABELS_FILE}")):
        copy = place / lesson.parent.name / LABELS_FILE
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(lesson, copy.with_suffix(".part"))
            copy.with_suffix(".part").replace(copy)


def xgboost_side(plan: Plan, data: DataSet, place: Path, report: ReportProgress) -> Side:
    """Fit XGBoost on the folds and on all training records, or load it where that was done."""
    model, notes = place / "xgboost.ubj", place / "xgboost.json"
    columns, seed = plan.columns(data.schema), plan.recipe.seed
    if not (model.is_file() and notes.is_file()):
        normals = []
        for i in range(data.folds()):
            split = data.fold(i, seed)
            trees = fit_trees(XGBOOST, split.train, columns, seed, as_stage(f"XGBoost, fold {i + 1}", report))
            normals.append(
                alarm_scores(trees.probabilities(split.validation))[split.validation.classes() == 0]
            )
        trees = fit_trees(XGBOOST, data.training(), columns, seed, as_stage("XGBoost, refit", report))
        trees.members[0].save_model(model)
        found = {str(rate): threshold_for(normals, rate) for rate in RATES}
        write_atomically(notes, json.dumps(found).encode())
    thresholds = {float(rate): value for rate, value in json.loads(notes.read_text()).items()}
    return Side(Trees(columns, (xgboost.Booster(model_file=str(model)),)).probabilities, thresholds, {})


def _named(report: ReportProgress, name: str, progress: Progress) -> None:
    report(replace(progress, stage=f"{name}, {progress.stage}"))
