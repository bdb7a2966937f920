"""The sides of the NSL-KDD study: what it takes over, what it refuses, and the paper's networks beside it."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.detector import claims, nsl_kdd, study
from juggler.data import load_set
from juggler.errors import ConfigError
from juggler.models import Plan, create, train_detector
from juggler.models.detector.distillation_set import LABELS_FILE
from juggler.models.train.recipe import Recipe

RECIPE = Recipe(
    epochs=1, batch_size=256, optimizer="adamw", learning_rate=0.01, warmup_epochs=0.5, accelerator="cpu"
)
OPTIONS = {"mix": [4, 2, 3], "widths": [4], "blocks": [1], "strides": [1]}
PLAN = Plan(data="synthetic", options=OPTIONS, recipe=RECIPE)


def test_a_detector_of_an_earlier_release_is_taken_over_and_one_of_another_plan_refused(
    tmp_path: Path,
) -> None:
    data = load_set("synthetic")
    made = train_detector(PLAN, data)
    plan = {**made.provenance["plan"], "recipe": {**made.provenance["plan"]["recipe"]}}
    del plan["recipe"]["tail_weight"]  # as if that field had come later
    replace(made, provenance={**made.provenance, "plan": plan}).save(tmp_path / study.DETECTOR_FILE)
    told: list[Any] = []
    side = study.detector_side(PLAN, data, tmp_path, lambda *stage: told.append(stage))
    assert not told
    assert {*side.thresholds} == {*study.RATES}
    assert (
        np.median([fold["threshold_at_0.05"] for fold in made.provenance["folds"]]) == side.thresholds[0.05]
    )
    with pytest.raises(ConfigError, match="another plan"):
        study.detector_side(replace(PLAN, features="all"), data, tmp_path, lambda *_: None)


def test_lessons_are_lent_once_and_never_replaced(tmp_path: Path) -> None:
    for fold, text in (("fold-1", b"first"), ("refit", b"last")):
        (tmp_path / "seed-0" / fold).mkdir(parents=True)
        (tmp_path / "seed-0" / fold / LABELS_FILE).write_bytes(text)
    own = tmp_path / "other"
    (own / "refit").mkdir(parents=True)
    (own / "refit" / LABELS_FILE).write_bytes(b"own")
    study.lend_lessons(tmp_path / "seed-0", own)
    found = {path.parent.name: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    assert found == {"fold-1": b"first", "refit": b"own"}


def test_the_papers_networks_are_trained_by_the_same_plan() -> None:
    for name in study.BASELINES:
        plan = study.baseline_plan(name, PLAN)
        recipe = replace(plan.recipe, channels_last=False)  # how pictures lie in memory, and no more
        assert (recipe, plan.teacher, plan.data) == (PLAN.recipe, PLAN.teacher, PLAN.data)
        assert create(plan.network, classes=5, in_channels=16, **plan.options).stem[0].kernel_size == (3, 3)
    sides = {"juggler": [], "resnet50": [study.Side(str, {}, {"seed": 3})]}
    told = nsl_kdd.baselines_of(PLAN, sides)["baselines"]
    assert {*told} == {"note", "resnet50"}
    assert told["resnet50"]["seeds"] == [3]
    assert told["resnet50"]["plan"]["network"] == {"name": "resnet50", "stem": "cifar", "width": 0.25}
    assert nsl_kdd.baselines_of(PLAN, {"juggler": []}) == {}


def scores(accuracy: float, macro_f1: float, alarms: float) -> dict[str, Any]:
    """Return what one side came to at one rate, alike for three seeds."""
    values = {"accuracy_2class": accuracy, "macro_f1": macro_f1, "false_alarm_rate": alarms}
    return {name: {"mean": value, "sd": 0.01, "values": [value] * 3} for name, value in values.items()}


def test_both_readings_of_the_false_alarms_that_are_allowed_are_told() -> None:
    outright = claims.outright
    ours = {
        "0.01": scores(0.90, 0.75, 0.03),
        "0.02": scores(0.91, 0.74, 0.04),
        "0.05": scores(0.93, 0.74, 0.1),
    }
    by_validation, by_test = outright({"juggler": ours})
    assert by_validation.reached and "0.930 ± 0.010 and 0.740 ± 0.010, at 0.100" in by_validation.measured
    assert not by_test.reached and by_test.measured.startswith("0.910"), "of the rates within it the best"
    ours["0.05"] = scores(0.93, 0.72, 0.05)
    assert [one.reached for one in outright({"juggler": ours})] == [False, False], "both figures count"
    _, none = outright({"juggler": {"0.05": scores(0.95, 0.8, 0.06)}})
    assert not none.reached and none.measured == "no rate keeps within it"


def test_the_kept_result_is_judged_by_the_claims_of_today() -> None:
    kept = claims.read(claims.FILE)
    assert [asdict(found) for found in claims.judge(kept["scores"])] == kept["findings"]
