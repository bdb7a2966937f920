"""The search for a better detector: scores against ones counted by hand, and all of it on made-up data."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detector import scores, search
from juggler.data import load_set
from juggler.models import Plan
from juggler.models.train.recipe import Recipe


def truth(classes: list[int], held_out: list[int], groups: list[int] | None = None):
    known = np.array(classes)
    return search.Truth(known, np.array(held_out, bool), known, np.array(groups or [0] * len(classes)))


def shares(alarms: list[float], *, classes: int = 3) -> np.ndarray:
    """Return probabilities of the normal class and the likeliest attack, the first one."""
    p = np.zeros((len(alarms), classes), np.float32)
    p[:, 1] = alarms
    p[:, 0] = 1 - p[:, 1]
    return p


def test_scores_are_those_counted_by_hand() -> None:
    # 100 normal records at 0.00 to 0.99, so that the threshold for 2 % lies just above 0.97.
    normal = [i / 100 for i in range(100)]
    attacks = [0.999, 0.985, 0.5, 0.999]
    found = search.scores_of(
        shares(normal + attacks), truth([0] * 100 + [1, 1, 1, 2], [0] * 100 + [1, 1, 1, 0])
    )
    assert found["detection_rate_held_out_0.02"] == pytest.approx(2 / 3)
    assert found["detection_rate_by_type_0.02"] == pytest.approx(2 / 3)
    assert found["detection_rate_known_0.02"] == 1
    assert found["auc_held_out"] == pytest.approx((100 + 99 + 50.5) / 300)
    # One of three held-out records is above all normal ones, another above all but one.
    assert 1 / 3 < found["auc_few"] < 2 / 3
    # F1 of normal ones is 2 * 98 / (98 + 1 + 100), of the held-out class 2 * 2 / (5 + 3), of the other 0.
    assert found["macro_f1_0.02"] == pytest.approx((2 * 98 / 199 + 4 / 8 + 0) / 3)


def test_a_threshold_from_like_records_holds_and_from_unlike_ones_does_not() -> None:
    draw = np.random.default_rng(0)
    alike, unlike = [], []
    for shift in (0.0, 0.0, 0.2):
        scores = draw.random((2, 5000)) * 0.8
        labels = [0] * 4000 + [1] * 1000
        alike.append((shares([*scores[0]]), truth(labels, labels, [*(np.arange(5000) % 7)])))
        unlike.append((shares([*(scores[1] + shift)]), alike[-1][1]))
    good, bad = (search.transfer(*zip(*lots, strict=True)) for lots in (alike, unlike))
    for rule in ("median", "pooled", "even"):
        assert good[f"false_alarms_{rule}_0.05"] == pytest.approx(0.05, abs=0.01)
        assert good[f"false_alarms_shifted_{rule}_0.05"] == pytest.approx(0.05, abs=0.02)
        assert bad[f"false_alarms_worst_{rule}_0.05"] > 0.2
    assert good["false_alarms_highest_0.05"] <= good["false_alarms_median_0.05"]


def test_each_service_counts_alike_for_the_even_threshold() -> None:
    # 900 quiet records of one service, 100 of another of which half are loud: 5 % of all, 25 % by service.
    normals, groups = np.array([0.1] * 900 + [0.1] * 50 + [0.9] * 50), np.array([0] * 900 + [1] * 100)
    rules = scores.RULES
    draw = np.random.default_rng(0).random(1000) * 0.01
    even, plain = (rules[rule]([normals + draw], [groups], 0.05) for rule in ("even", "median"))
    assert even > plain > 0.1


def test_novelty_is_high_where_no_normal_record_goes() -> None:
    draw = np.random.default_rng(0)
    first = draw.normal(size=2000)
    normals = np.stack([first, first + 0.01 * draw.normal(size=2000)], 1)
    fitted = search.novelty_of(normals, 2)
    off, on = np.array([[1.0, -1.0]]), np.array([[1.0, 1.0]])
    assert search.novelty(off, fitted)[0] > 10
    assert search.novelty(on, fitted)[0] == 0
    assert (search.novelty(normals, fitted) > 0).mean() < 0.005
    p = shares([0.1, 0.1])
    raised = search.with_ood_score(p, np.array([0.0, 2.0]), 1.0)
    assert raised[0] == pytest.approx(p[0], abs=1e-6)
    assert np.log(raised[1, 1] / raised[1, 0]) == pytest.approx(np.log(1 / 9) + 2, abs=1e-4)


def test_means_of_members() -> None:
    p, q = shares([0.9]), shares([0.1])
    assert search.mean_of([p, q], "probabilities")[0, 1] == pytest.approx(0.5)
    assert search.mean_of([p, p], "logits")[0] == pytest.approx(p[0], abs=1e-6)
    assert search.mean_of([p, shares([0.5])], "logits")[0, 1] == pytest.approx(0.75, abs=1e-6)


def test_candidates_are_plans_that_can_be_made() -> None:
    base = replace(Plan.shipped("nsl_kdd"), options={"mix": [32, 3, 4], "widths": [16]})
    for name, candidate in search.CANDIDATES.items():
        plan = search.changed(base, candidate.changes)
        assert (plan == base) == (not candidate.changes), name


def test_the_search_goes_on_where_it_was_and_sees_no_test_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(
        epochs=2, batch_size=256, optimizer="adamw", learning_rate=0.01, warmup_epochs=0.5, accelerator="cpu"
    )
    options = {"mix": [4, 2, 3], "widths": [4], "blocks": [1], "strides": [1]}
    base = Plan(data="synthetic", options=options, recipe=recipe, choose_from=2)
    data, told = load_set("synthetic"), []
    folds = search.Folds(data, base, tmp_path, None, lambda progress: told.append(progress.stage))
    monkeypatch.setattr(type(data), "load", _refuse_tests(type(data).load))
    monkeypatch.setattr(search, "TRIALS", tmp_path)
    for name in ("today", "members_2", "novel_last_1"):
        for number in range(2):
            search.predict(name, folds, 0, number)
    assert {stage.split(",")[0] for stage in told} == {"seed-0/fold-1", "seed-0/fold-2"}
    told.clear()
    for name in ("today", "members_2"):
        search.predict(name, folds, 0, 0)
    assert not told
    search._report(tmp_path, quick=True)
    found = json.loads((tmp_path / "detector_search.json").read_text())["candidates"]
    assert {*found} == {"today", "members_2", "novel_last_1"}
    today, two = (found[name]["folds"] for name in ("today", "members_2"))
    key = "auc_held_out"
    gain = np.mean([two[stem][key] - today[stem][key] for stem in today])
    assert found["members_2"]["gains"][key]["mean"] == pytest.approx(gain)
    assert found["today"]["gains"][key]["mean"] == 0


def _refuse_tests(load):
    def refusing(self, part: str):
        assert part == "train"
        return load(self, part)

    return refusing
