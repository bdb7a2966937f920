"""The study of accuracy: a small one end to end, and the page from made-up results."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import itertools
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import front, gaps, one_run, recall, tables, throughput, variants
from benchmarks.accuracy import page as accuracy_page
from benchmarks.accuracy import report as study_report
from benchmarks.accuracy import run as study_run
from benchmarks.accuracy import scale as scales
from benchmarks.accuracy import summary as summaries
from benchmarks.accuracy import widths as width_search
from juggler.models import ClassifierPlan
from juggler.models.train.run_state import STATE_FILE
from juggler.nouns import Progress
from made_up_pictures import NOTE, Bars

ROOT = Path(__file__).parents[3]
MACHINE = {
    **{"cpu": "a made-up processor", "cores": 2, "memory_gib": 8.0, "system": "Linux", "python": "3.12"},
    **{"packages": {}, "accelerator": None},
}
ACCURACY = {"resnet": 0.80, "juggler_paper": 0.79, "resnet_levers": 0.82, "juggler": 0.82, "plain": 0.77}
WITH_LEVERS = ("juggler", "resnet_levers")


@pytest.fixture
def tiny():
    """Return a scale that runs in seconds."""
    return scales.Scale(
        data="bars", width=0.0625, subset=120, validation=60, epochs=2, batch=30, seeds=1, teacher_width=1.0
    )


class KilledError(Exception):
    """Stands for the signal that no process survives."""


def kill_in_epoch(number: int):
    def report(progress: Progress) -> None:
        if progress.stage == "train" and progress.detail["epoch"] == number:
            raise KilledError

    return report


def tasks(scale, *names: str):
    cast = variants.read_cast()
    return list(scales.tasks(scale, cast, cast.chosen(only=names), {}))


def test_a_small_study_goes_on_after_a_kill_and_is_summed_up(tiny, tmp_path):
    wanted = tasks(tiny, "resnet", "juggler")
    data = Bars()
    assert study_run.study(wanted[:1], data, tmp_path) == 0
    first, second = (tmp_path / task.folder for task in wanted)
    done = (first / "result.json").stat().st_mtime_ns

    with pytest.raises(KilledError):
        one_run.carried_out(wanted[1], data, tmp_path, kill_in_epoch(2))
    assert (second / STATE_FILE).is_file() and one_run.kept(wanted[1], tmp_path) is None
    teachers = list((tmp_path / "teachers").glob("*/classifier.safetensors"))
    taught = teachers[0].stat().st_mtime_ns
    assert study_run.study(wanted, data, tmp_path, minutes=0) == 1, "no time, no new run"

    assert study_run.study(wanted, data, tmp_path) == 0
    assert (first / "result.json").stat().st_mtime_ns == done, "a finished run is not done again"
    assert len(teachers) == 1 and teachers[0].stat().st_mtime_ns == taught, "nor is its teacher"
    assert not (second / STATE_FILE).exists()
    assert ClassifierPlan.read(second / "plan.toml") == wanted[1].plan
    found = one_run.kept(wanted[1], tmp_path)
    assert len(found["epochs"]) == 2 and found["notes"] == [NOTE] and found["flat"]["certified"]
    assert found["flat"]["test_accuracy"] == pytest.approx(found["test"]["accuracy"], abs=0.005)

    scales.remember(tiny, {"resnet": 1, "juggler": 1}, tmp_path)
    details, (machine, _) = study_report.collected("cpu", tmp_path)
    assert details["runs"] == {"wanted": 2, "finished": 2} and machine.cores >= 1
    assert {row["variant"]: row["test_accuracy"]["n"] for row in details["variants"]} == {
        "resnet": 1,
        "juggler": 1,
    }
    assert study_report.ranking(details).row_count == 2

    elsewhere = tmp_path / "elsewhere"
    result = json.loads(json.dumps(details, allow_nan=False)) | {"date": "2026-01-01"}
    assert recall.recall(result, None, elsewhere) == 2
    again, told = study_report.collected("cpu", elsewhere)
    assert again == details and told == (machine, "2026-01-01"), "nothing is lost"
    assert recall.recall(result, None, elsewhere) == 0, "what is there is left alone"
    assert study_run.study(wanted, data, elsewhere) == 0, "nor is it trained again"
    for row in result["variants"]:
        row["recipe"]["rate"] *= 2
    assert recall.recall(result, None, tmp_path / "other") == 0, "of another plan"


def test_widths_that_the_clock_chose_are_put_back(tiny, tmp_path):
    scale = replace(tiny, width=0.25)
    recall.recall_widths(scale, {"scale": {"width": 0.5}, "widths": {}}, tmp_path)
    assert width_search.kept_widths(scale, tmp_path) == {}, "of another width"
    front = {"scale": {"width": 0.25}, "widths": {"thinned": {"18": [4, 8, 20, 40]}}}
    recall.recall_widths(scale, front, tmp_path)
    found = width_search.widths_of(scale, tmp_path)
    assert found["thinned"] == {18: (4, 8, 20, 40)}
    assert found["widened"] == {18: width_search.widened_by_work(18, 0.25)}, "none were told"


def test_curves_of_runs_put_back_are_shown_until_more_are_run():
    told = {"n": 2, **{name: {"mean": [0.5], "sd": [0.1]} for name in (*summaries.CURVES, "gap")}}
    before = [{"curves": told}, {"curves": told}]
    own = {"epochs": [dict.fromkeys(summaries.CURVES, 0.75)]}
    assert summaries.curves([*before, own, own]) == told
    assert summaries.curves([*before, own, own, own])["loss_train"]["mean"] == [0.75]
    assert summaries.curves([{"curves": None}]) is None


def test_sides_of_different_machines_or_teachers_are_told():
    def run(cpu: str, taught: float | None) -> dict[str, object]:
        return {
            "machine": MACHINE | {"cpu": cpu},
            "teacher": {"accuracy_validation": taught} if taught else None,
        }

    ours = {0: run("a", 0.6), 1: run("a", 0.6), 2: run("a", 0.6), 3: run("a", 0.6)}
    theirs = {0: run("a", 0.6), 1: run("b", 0.6), 2: run("a", 0.7), 3: run("a", None), 4: run("b", 0.7)}
    assert summaries.mixed(ours, theirs) == [1, 2], "a side without a teacher is the variant's own"
    row = {"variant": "x", "depth": 18, "label": "X"}
    gap = {"variant": "x", "against": "x", "depth": 18, "mixed": [1], "test": {"n": 3}}
    told = {"variants": [row | {"teacher_accuracy": [0.6, 0.7]}], "gaps": [gap]}
    first, second = tables.circumstances(told)
    assert (
        "2 teachers" in first
        and "60.00 % and 70.00 %" in first
        and "1 of 3 seeds:\n        - X to X" in second
    )
    assert not [*tables.circumstances({"variants": [row], "gaps": []})]


def test_one_leads_by_the_seeds_that_both_have():
    row = [{"seeds": [0, 1], "flat_test_accuracy": {"values": [0.70, 0.72]}}]
    row += [{"seeds": [1, 2], "flat_test_accuracy": {"values": [0.71, 0.99]}}]
    assert tables.lead(*row) == pytest.approx(1.0)
    assert tables.lead(row[0], {**row[1], "seeds": [2, 3]}) is None


def test_a_later_part_of_a_study_narrows_no_report(tiny, tmp_path):
    scales.remember(replace(tiny, seeds=3), {"resnet": 3, "vgg16": 3}, tmp_path)
    scales.remember(replace(tiny, seeds=2), {"plain": 2, "resnet": 2}, tmp_path)
    scale, asked = scales.remembered("cpu", tmp_path)
    assert (scale, asked) == (replace(tiny, seeds=3), {"resnet": 3, "vgg16": 3, "plain": 2})
    cast = variants.read_cast()
    twice = replace(scale, depths=(18, 34))
    wanted = scales.tasks(twice, cast, cast.chosen(only=list(asked)), {}, asked)
    runs = [(t.variant.name, t.depth, t.seed) for t in wanted]
    assert len(runs) == len(set(runs)) == 13 and ("plain", 18, 2) not in runs
    summary = summaries.summarised(twice, cast, [], asked)
    assert summary["runs"] == {"wanted": 13, "finished": 0} and summary["scale_words"].endswith(
        "2 to 3 seeds"
    )
    scales.remember(replace(tiny, epochs=7), {"plain": 1}, tmp_path)
    assert scales.remembered("cpu", tmp_path) == (replace(tiny, epochs=7), {"plain": 1})


def test_a_run_that_diverges_is_a_result(tiny, tmp_path):
    (task,) = tasks(tiny, "resnet")
    recipe = replace(task.plan.learner.recipe, learning_rate=1e30)
    wild = replace(task, plan=replace(task.plan, learner=replace(task.plan.learner, recipe=recipe)))
    assert study_run.study([wild], Bars(), tmp_path) == 0
    found = one_run.kept(wild, tmp_path)
    assert "loss is" in found["failed"]
    row = summaries.summarised(tiny, variants.read_cast(), [found], {"resnet": 1})["variants"][0]
    assert "test_accuracy" not in row and row["failed"][0].startswith("seed 0")


def test_seeds_come_last_and_sides_that_are_compared_have_one_recipe(tiny):
    cast = variants.read_cast()
    scale = replace(tiny, depths=(18, 34), seeds=2)
    chosen = cast.chosen(only=["resnet", "juggler", "vgg16"])
    order = [(t.seed, t.depth, t.variant.name) for t in scales.tasks(scale, cast, chosen, {})]
    one = [(18, "resnet"), (18, "juggler"), (18, "vgg16"), (34, "resnet"), (34, "juggler")]
    assert order == [(seed, *rest) for seed, rest in itertools.product((0, 1), one)]

    inside = set()
    for name in cast.winner:
        inside |= set() if cast.levers[name].anywhere else set(cast.levers[name].recipe)
    for ours, theirs in summaries.PAIRS:
        a, b = (plan(cast, tiny, name).learner.recipe.to_dict() for name in (ours, theirs))
        assert {key for key in a if a[key] != b[key]} <= inside
        assert plan(cast, tiny, ours).teacher == plan(cast, tiny, theirs).teacher


def test_the_plan_that_ships_for_pictures_is_the_winners_at_the_papers_scale():
    cast = variants.read_cast()
    preset = scales.PRESETS["cpu"]
    papers = replace(preset, depths=(18,), width=1.0, subset=0, epochs=120, batch=256, teacher_width=1.5)
    won, ships = plan(cast, papers, "juggler"), ClassifierPlan.shipped("cifar10")

    def network(learner):
        return learner.network, {"width": 1.0, **learner.options}

    def recipe(learner):  # but for how the machine at hand computes
        told = learner.recipe.to_dict()
        return {key: told[key] for key in told if key not in {"precision", "accelerator", "channels_last"}}

    for ours, theirs in ((won.learner, ships.learner), (won.teacher, ships.teacher)):
        assert network(ours) == network(theirs)
        assert recipe(ours) == recipe(theirs)


def plan(cast, scale, name: str, seed: int = 0) -> ClassifierPlan:
    widths = {"thinned": {18: (4, 8, 16, 32)}, "widened": {18: (16, 48, 64, 128)}}
    return scales.plan_of(cast.variants[name], 18, seed, scale=scale, cast=cast, widths=widths)


def test_every_variant_has_a_plan_whose_network_can_be_made():
    cast, scale = variants.read_cast(), scales.PRESETS["cpu"]
    plans = {name: plan(cast, scale, name) for name in cast.variants}
    for one in plans.values():
        assert ClassifierPlan.from_dict(one.to_dict()) == one
        options = {key: value for key, value in one.learner.options.items() if key != "stem"}
        assert width_search.macs_of(one.learner.network, options) > 0
    recipe = plans["resnet"].learner.recipe
    assert (recipe.momentum, recipe.learning_rate, recipe.warmup_epochs) == (0.9, 0.05, 0.5), (
        "12 epochs, batch 128"
    )


def test_flags_set_the_scale():
    parser = argparse.ArgumentParser()
    scales.add_flags(parser)
    scale = scales.scale_of(parser.parse_args([]))
    assert scale == scales.PRESETS["cpu"] and scale.seeds >= 3
    large = scales.scale_of(parser.parse_args(["--gpu", "--epochs", "120"]))
    assert (large.depths, large.width, large.epochs, large.precision) == ((18, 50), 1.0, 120, "bf16-mixed")
    small = scales.scale_of(parser.parse_args(["--subset", "600", "--depths", "34"]))
    assert (small.subset, small.validation, small.depths) == (600, 150, (34,))


def test_an_interval_is_students():
    gap = gaps.Gap.between({0: 0.901, 1: 0.902, 2: 0.903, 7: 0.1}, {0: 0.9, 1: 0.9, 2: 0.9, 8: 0.2})
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert gap.n == 3 and gap.mean == pytest.approx(0.2) and gap.sd == pytest.approx(0.1)
    assert (gap.low, gap.high) == (pytest.approx(0.2 - half), pytest.approx(0.2 + half))
    assert gap.is_parity and not replace(gap, low=-0.31).is_parity
    single = gaps.Gap.between({0: 0.9}, {0: 0.8})
    assert single.low is None and not single.is_parity
    assert gaps.Gap.between({0: 0.9}, {1: 0.8}) is None
    for n in (*range(2, 22), 100):
        gap = gaps.Gap.between({seed: 0.9 + seed / 1000 for seed in range(n)}, dict.fromkeys(range(n), 0.9))
        bound = (gap.high - gap.mean) * math.sqrt(n) / gap.sd
        assert inside(bound, n - 1) == pytest.approx(0.95, abs=5e-5)


def inside(bound: float, freedom: int) -> float:
    """Integrate Student's density from -bound to bound."""
    x = np.linspace(-bound, bound, 200_001)
    constant = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    return float(np.trapezoid(constant * (1 + x**2 / freedom) ** (-(freedom + 1) / 2), x))


def test_a_thinned_resnet_has_the_work_of_the_flat_network():
    widths = width_search.thinned_by_work(18, 0.25)
    wanted = width_search.flat_macs(18, 0.25)
    assert width_search.macs_of("resnet18", {"widths": widths}) == pytest.approx(wanted, rel=0.1)
    assert wanted < 0.6 * width_search.macs_of("resnet18", {"width": 0.25})


def test_a_widened_flat_network_keeps_its_speed_up_by_work():
    widths = width_search.widened_by_work(18, 0.25)
    own, allowed = width_search.flat_macs(18, 0.25), width_search.macs_of("resnet18", {"width": 0.25}) / 1.9
    assert own < width_search.macs_of("plain18", {"widths": widths}) <= allowed
    assert width_search.widened_by_work(18, 1.0) != (64, 128, 256, 512)


def test_widths_that_the_clock_found_are_kept_and_used(tmp_path, tiny):
    searched = {"thinned": {"18": {"widths": [4, 8, 8, 16]}}}
    kept = {"width": tiny.width, "sizes": searched}
    width_search.place(tiny, tmp_path).write_text(json.dumps(kept))
    found = width_search.widths_of(tiny, tmp_path)
    assert found["thinned"] == {18: (4, 8, 8, 16)}
    assert found["widened"] == {18: width_search.widened_by_work(18, tiny.width)}
    other = dataclasses.replace(tiny, width=0.5)
    assert width_search.widths_of(other, tmp_path)["thinned"] != found["thinned"]


def test_flat_networks_that_are_alike_race_once():
    graphs = {
        name: front.graph_of(network, {"width": 0.0625, **options})
        for name, network, options in (
            ("paper", "juggler_resnet18", {}),
            (
                "levers",
                "juggler_resnet18",
                {"activations": True, "identity": "norm", "branches": ["spatial"]},
            ),
            ("plain", "plain18", {}),
            ("resnet", "resnet18", {}),
        )
    }
    kinds = {name: front.sketch_of(graph) for name, graph in graphs.items()}
    assert kinds["paper"] == kinds["levers"] == kinds["plain"] != kinds["resnet"]


def test_training_is_timed_against_a_loop_of_its_own(tiny):
    names = dict(throughput.contenders(replace(tiny, data="cifar10"), 60))
    assert list(names) == ["fit", "bare", "wide", "levers"]
    taken = throughput.timed({name: names[name] for name in ("fit", "bare")}, 1)
    assert all(values.shape == (1,) and values[0] > 0 for values in taken.values())
    made_up = {"fit": [1.0] * 6, "bare": [0.9] * 6, "wide": [2.0] * 6, "levers": [3.0] * 6}
    details = {"rounds": 6, "pictures": 60, "depth": 18}
    details["pictures_per_s"] = {name: 60 / values[0] for name, values in made_up.items()}
    first, wide, _ = throughput.judge({k: np.array(v) for k, v in made_up.items()}, details)
    assert (
        first.reached and first.measured.startswith("0.900 times") and "2.00 times as long" in wide.measured
    )


def made_up_run(name: str, seed: int) -> dict:
    """Return a result of a plausible size: nothing was measured."""
    accuracy = ACCURACY[name] + 0.001 * seed
    scores = {
        f"{what}_{part}": value
        for what, value in (("accuracy", accuracy), ("loss", 0.6))
        for part in ("train", "validation")
    }
    return {
        **{"variant": name, "depth": 18, "seed": seed, "date": "2026-01-02", "machine": MACHINE},
        "plan": {
            "network": {"name": name},
            "recipe": {"epochs": 3, "label_smoothing": 0.1 * (name in WITH_LEVERS)},
        },
        "test": {"accuracy": accuracy, "loss": 0.6, "pictures": 10_000, "sha256": "b" * 64},
        "scores": scores,
        "teacher": None,
        "pictures": 10_000,
        "pictures_sha256": "a" * 64,
        "notes": ["the pictures are made up"],
        "training_s": 100.0 if name == "resnet" else 250.0,
        "epochs": [{"loss": 1.0, "rate": 0.1, **scores} for _ in range(3)],
        "flat": {
            "test_accuracy": accuracy,
            "certified": True,
            "float64": 1e-15,
            "macs": 9e6,
            "wide_macs": 4e7,
        },
    }


def made_up_results(folder: Path, *, thin_ms: float = 1.0) -> None:
    """Write a result file and a race's, as the scripts do."""
    scale, cast = scales.Scale(epochs=3), variants.read_cast()
    runs = [made_up_run(name, seed) for name in ACCURACY for seed in range(3)]
    details = summaries.summarised(scale, cast, runs, dict.fromkeys(ACCURACY, 3))
    details["machines"] = ["a made-up processor"]
    latency = {"resnet": 2.0, "resnet_levers": 2.0, "plain": thin_ms}
    networks = [
        {
            **{"variant": name, "depth": 18, "raced_as": name, "latency_ms": latency.get(name, 1.0)},
            **{"p95_ms": 3.0, "macs": 9_000_000, "parameters": 1_000, "kernels": 20},
            "times_as_fast": {"median": 2.0, "low": 1.9, "high": 2.1},
        }
        for name in ACCURACY
    ]
    race = {"scale": scale.to_dict(), "backend": "onnxruntime", "side_px": 32, "batch": 1, "rounds": 60}
    race["networks"] = networks
    kept = {"date": "2026-01-02", "quick": False, "machine": MACHINE}
    findings = [*summaries.judge(details), *tables.on_front(details, race)]
    result = kept | {"findings": [asdict(f) for f in findings]} | details
    (folder / "accuracy.json").write_text(json.dumps(result))
    race |= kept | {"findings": [asdict(f) for f in front.judge(race)]}
    (folder / "accuracy_front.json").write_text(json.dumps(race))


@pytest.fixture
def page(tmp_path):
    """Return the arguments for a copy of the page in an empty folder."""
    path = tmp_path / "accuracy.md"
    path.write_text((ROOT / "docs" / "explain" / "accuracy.md").read_text(encoding="utf-8"), encoding="utf-8")
    return ["--page", str(path), "--results", str(tmp_path)]


def test_the_page_agrees_with_the_results(capsys):
    assert accuracy_page.main(["--check"]) == 0, capsys.readouterr().err


def test_without_results_the_page_says_so(page, tmp_path):
    assert accuracy_page.main(page) == 0
    text = (tmp_path / "accuracy.md").read_text()
    assert (
        text.count(accuracy_page.NOTHING) == len(accuracy_page.BLOCKS)
        and text.count(accuracy_page.NO_SPEED) == 1
    )


def test_the_page_shows_what_the_results_say(page, tmp_path):
    made_up_results(tmp_path)
    assert accuracy_page.main(page) == 0 and accuracy_page.main([*page, "--check"]) == 0
    text = (tmp_path / "accuracy.md").read_text()
    assert "**Beside every number: the pictures are made up**" in text
    assert "| 18 | ResNet-18 | 94.49 | 73.92 | **80.10** ± 0.10 (3) |" in text
    assert "| 152 | ResNet-152 | 94.36 | 77.52 | not run |" in text
    assert "| Juggler-ResNet-18, as in the paper | ResNet-18 | yes | -1.00 (-1.00 to -1.00) |" in text
    assert "| Juggler-ResNet-18, levers | ResNet-18 | no | +2.00 (+2.00 to +2.00) |" in text
    assert text.count("*the pictures are made up.*") == len(accuracy_page.NUMBERED)
    assert "+0.00 points | 3 seeds, +0.00 to +0.00; the pictures are made up | yes |" in text, (
        "parity with all levers"
    )
    assert "levers in the structure alone: gap 0.0" in text and "not run | 0 seeds | **no** |" in text
    assert "3 epochs, where the paper has 120." in text
    assert "none is | 5 networks in one race" in text

    drawn = sorted(path.name for path in (tmp_path / "accuracy").iterdir())
    assert drawn == ["fig7-cpu-18.svg", "front-cpu.svg", "table5-cpu.csv"]
    assert all(f"(accuracy/{name})" in text for name in drawn)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "accuracy" / "table5-cpu.csv").read_text())))
    paper = next(row for row in rows if row["variant"] == "juggler_paper" and row["depth"] == "18")
    assert (paper["published_cifar10"], paper["n"], paper["training_relative"]) == ("93.52", "3", "2.5")
    assert float(paper["gap_to_resnet_points"]) == pytest.approx(-1.0)


def test_check_sees_every_drift(page, tmp_path, capsys):
    made_up_results(tmp_path)
    accuracy_page.main(page)
    figure = tmp_path / "accuracy" / "fig7-cpu-18.svg"
    kept = figure.read_text()
    figure.unlink()
    assert accuracy_page.main([*page, "--check"]) == 1 and figure.name in capsys.readouterr().err
    figure.write_text(kept)
    (figure.parent / "fig7-cpu-34.svg").write_text(kept)
    assert accuracy_page.main([*page, "--check"]) == 1 and "fig7-cpu-34.svg" in capsys.readouterr().err
    made_up_results(tmp_path, thin_ms=0.5)
    assert accuracy_page.main([*page, "--check"]) == 1, "another race"
    assert accuracy_page.main(page) == 0 and accuracy_page.main([*page, "--check"]) == 0
    assert not (figure.parent / "fig7-cpu-34.svg").exists()


def test_a_faster_network_that_is_more_accurate_is_named(monkeypatch, page, tmp_path):
    monkeypatch.setitem(ACCURACY, "plain", 0.85)
    made_up_results(tmp_path, thin_ms=0.5)
    accuracy_page.main(page)
    text = (tmp_path / "accuracy.md").read_text()
    assert (
        "plain stack, 18 is 3.00 points more accurate than Juggler-ResNet-18 with levers, at 0.500 ms" in text
    )
    assert "| **no** |" in text
    points = accuracy_page.pictures.front_points(
        json.loads((tmp_path / "accuracy.json").read_text()),
        json.loads((tmp_path / "accuracy_front.json").read_text()),
    )
    assert [point["variant"] for point in accuracy_page.pictures.best_of(points)] == ["plain"]
