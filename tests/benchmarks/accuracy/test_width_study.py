"""The study of what width pays: a small one end to end, its rates, its gradients and its result files."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from benchmarks import common
from benchmarks.accuracy import gradients as gradient_log
from benchmarks.accuracy import (
    one_run,
    variants,
    width_result,
    width_study,
)
from benchmarks.accuracy import scale as scales
from juggler.models import ClassifierPlan, TrainedClassifier
from juggler.models.train.run_state import STATE_FILE
from juggler.nouns import Progress
from made_up_pictures import Bars

ROOT = Path(__file__).parents[3]
NAMES = ("gradients", "one_run", "scale", "variants", "width_result", "width_study")


@pytest.fixture
def cast():
    return variants.read_cast()


@pytest.fixture
def small():
    """Return a part that runs in seconds."""
    scale = scales.Scale(
        data="bars", width=0.0625, subset=120, validation=60, epochs=2, batch=30, seeds=2, teacher_width=1.0
    )
    seeds = {"plain_pooled": 2, "juggler": 2, "resnet": 1}
    gaps = (("juggler", "plain_pooled"), ("juggler", "resnet"))
    return width_study.Part("small", scale, (0.05, 0.1), "resnet18", seeds, gaps)


class KilledError(Exception):
    """Stands for the signal that no process survives."""


def kill_at(epoch: int, step: int):
    def report(progress: Progress) -> None:
        detail = progress.detail
        if progress.stage == "train" and (detail["epoch"], detail["step"]) == (epoch, step):
            raise KilledError

    return report


def result(name: str, seed: int, rate: float, accuracy: float) -> dict:
    return {
        **{"part": "small", "variant": name, "depth": 18, "seed": seed},
        "plan": {"recipe": {"rate": rate}},
        "scores": {"accuracy_validation": accuracy},
    }


def test_the_parts_are_what_the_study_is_to_answer(cast):
    broad, deep = width_study.read_parts()
    assert (broad.scale.subset, broad.scale.epochs, broad.scale.width) == (25_000, 30, 0.25)
    assert broad.seeds == {"plain_pooled": 6, "juggler": 6, "resnet_pooled": 6, "resnet": 3}
    assert (deep.scale.depths, deep.scale.subset, deep.scale.epochs) == ((101,), 6_400, 20)
    assert deep.seeds == {"plain_pooled": 3, "juggler": 3}
    for part in (broad, deep):
        tasks = [
            width_study.task_at(part, cast, n, s, r) for n in part.seeds for s, r in ((0, 0.01), (1, 0.02))
        ]
        taught = {task.plan.teacher_plan.digest for task in tasks if task.variant.teacher}
        assert len(taught) == 1, "one teacher for every variant, seed and rate"
        assert tasks[0].plan.teacher_plan.learner.network == "resnet18"
        paper = ClassifierPlan.read(scales.PAPER).learner.recipe
        recipe = scales.recipe_of(part.scale, paper)
        assert part.rates[0] == recipe.learning_rate, "the first is the paper's"
        assert {name for gap in part.gaps for name in gap} == set(part.seeds)


def test_seed_0_of_every_network_comes_first():
    parts = width_study.read_parts()
    runs = [(part.name, name, seed) for part, name, seed in width_study.in_order(parts)]
    assert len(runs) == len(set(runs)) == 27
    assert [seed for _, _, seed in runs] == sorted(seed for _, _, seed in runs)
    assert runs[:2] == [("broad", "plain_pooled", 0), ("broad", "juggler", 0)]
    assert runs[4:6] == [("deep", "plain_pooled", 0), ("deep", "juggler", 0)]
    assert runs[-3:] == [("broad", name, 5) for name in ("plain_pooled", "juggler", "resnet_pooled")]


def test_the_better_rate_on_validation_is_chosen(small):
    better = width_study.better_rate
    low, high = result("x", 0, 0.05, 0.6), result("x", 0, 0.1, 0.7)
    assert better(small, [low, high]) == 0.1 and better(small, [high, low]) == 0.1
    assert better(small, [low, result("x", 0, 0.1, 0.6)]) == 0.05, "the recipe's of equals"
    failed = {"plan": high["plan"], "failed": "the loss is nan"}
    assert better(small, [low, failed]) == 0.05
    assert better(small, [low, None]) is None, "not yet"
    assert better(small, [failed]) is None


def test_a_small_study_is_trained_reported_and_put_back(cast, small, tmp_path, monkeypatch):
    runs, results = tmp_path / "runs", tmp_path / "results"
    width_study.train_all([small], cast, runs, Bars())
    done = {path: path.stat().st_mtime_ns for path in runs.glob("*/result.json")}
    assert len(done) == 8, "seed 0 at two rates, the other at one"
    width_study.train_all([small], cast, runs, Bars())
    assert {path: path.stat().st_mtime_ns for path in runs.glob("*/result.json")} == done

    (teacher,) = runs.glob("teachers/*/classifier.safetensors")
    sha256 = TrainedClassifier.load(teacher).provenance["weights_sha256"]
    for path in done:
        run = json.loads(path.read_text())
        assert run["teacher_sha256"] == (None if run["variant"] == "resnet" else sha256)
        assert (path.parent / "classifier.safetensors").is_file(), "the wide network is kept"

    monkeypatch.setattr(width_result, "RESULTS", results)
    monkeypatch.setattr(common, "RESULTS", results)
    monkeypatch.setattr(common, "ROOT", tmp_path)
    monkeypatch.setattr(width_result, "read_parts", lambda: (small,))
    monkeypatch.setattr("sys.argv", ["width_result.py", "--folder", str(runs)])
    width_result.main()
    summary = json.loads((results / "width_study.json").read_text())
    (part,) = summary["parts"].values()
    assert [row["variant"] for row in part["variants"]] == list(small.seeds)
    assert [row["test_accuracy"]["n"] for row in part["variants"]] == [2, 2, 1]
    assert [gap["test"]["n"] for gap in part["gaps"]] == [2, 1]
    assert [gap["same_recipe_but_rate"] for gap in part["gaps"]] == [True, False]
    assert part["teachers"][0]["weights_sha256"] == sha256 and len(part["teachers"]) == 1
    for row in part["variants"]:
        assert row["recipe"]["rate"] == part["rates"][row["variant"]]["rate"]
        assert list(part["rates"][row["variant"]]["validation_accuracy"]) == ["0.05", "0.1"]
    assert summary["findings"][-1]["measured"] == "5 of 5 finished, 5 certified"
    lines = (results / "width_study_runs.jsonl").read_text()
    assert lines.count("\n") == 8

    monkeypatch.setattr("sys.argv", ["width_result.py", "--folder", str(tmp_path / "elsewhere"), "--restore"])
    width_result.main()
    restored = {path.parent.name for path in (tmp_path / "elsewhere").glob("*/result.json")}
    assert restored == {path.parent.name for path in done}
    monkeypatch.setattr("sys.argv", ["width_result.py", "--folder", str(tmp_path / "nowhere")])
    width_result.main()
    assert (results / "width_study_runs.jsonl").read_text() == lines, "runs of elsewhere stay"


def test_the_gradients_of_a_killed_run_are_those_of_an_unbroken_one(cast, small, tmp_path, monkeypatch):
    task = width_study.task_at(small, cast, "plain_pooled", 1, 0.05)
    whole = one_run.carried_out(task, Bars(), tmp_path / "whole")
    monkeypatch.setattr("juggler.models.train.run.SECONDS_BETWEEN_STATES", 0.0)
    place = tmp_path / "broken" / task.folder
    with pytest.raises(KilledError):
        one_run.carried_out(task, Bars(), tmp_path / "broken", kill_at(2, 3))
    assert (place / STATE_FILE).is_file()
    with (place / gradient_log.FILE).open("a") as file:
        file.write('{"epoch": 2, "st')
    broken = one_run.carried_out(task, Bars(), tmp_path / "broken")
    assert broken["gradients"] == whole["gradients"]
    assert broken["weights_sha256"] == whole["weights_sha256"]

    gradients = whole["gradients"]
    assert gradients["layers"][:2] == ["stem.0", "stages.0.0.0"] and len(gradients["layers"]) == 9
    for norms in (gradients["gradient_norm"], gradients["weight_norm"]):
        assert len(norms) == 9 and all(len(epochs) == 2 and min(epochs) > 0 for epochs in norms)


def test_steps_at_which_gradients_are_seen_are_spread_over_an_epoch():
    due = [step for step in range(1, 197) if gradient_log.is_due(step, 196)]
    assert len(due) == gradient_log.LOOKS_AN_EPOCH and due[-1] == 196
    assert max(b - a for a, b in itertools.pairwise(due)) <= 25
    assert all(gradient_log.is_due(step, 4) for step in range(1, 5)), "every step of few"


def test_runs_of_one_place_in_the_study_are_merged():
    first, second = result("x", 0, 0.05, 0.6), result("x", 1, 0.05, 0.6)
    again = result("x", 0, 0.05, 0.7)
    assert width_result.merged([second, first], [again]) == [again, second]
