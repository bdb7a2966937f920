"""Classifiers of pictures: a plan that makes one again, a teacher trained once, nothing of the test part."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from juggler.data import SETS, Pictures, is_pictures
from juggler.errors import ArtefactError, ConfigError
from juggler.models import (
    ClassifierPlan,
    Learner,
    Recipe,
    TrainedClassifier,
    create,
    train_classifier,
    weights_sha256,
)
from juggler.models.classifier.training import evaluate
from juggler.models.networks import checkpoint
from juggler.models.train.run_state import STATE_FILE
from made_up_pictures import NOTE, Bars

RECIPE = Recipe(epochs=4, batch_size=30, learning_rate=0.05, warmup_epochs=0.5, accelerator="cpu")
OPTIONS = {"widths": [6], "blocks": [1], "strides": [1], "image_size": [8, 8]}
PLAN = ClassifierPlan("bars", 200, 50, learner=Learner("juggler_tabular", OPTIONS, RECIPE))
TAUGHT = dataclasses.replace(
    PLAN,
    learner=dataclasses.replace(PLAN.learner, recipe=dataclasses.replace(RECIPE, distill_weight=0.5)),
    teacher=dataclasses.replace(PLAN.learner, options={**OPTIONS, "widths": [9]}),
)


class TrainOnly(Bars):
    """Refuse to hand out the test part."""

    def load(self, part: str) -> Pictures:
        assert part == "train"
        return super().load(part)


@pytest.mark.parametrize("plan", [PLAN, TAUGHT, ClassifierPlan()])
def test_a_plan_survives_toml(tmp_path: Path, plan: ClassifierPlan) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(plan.to_toml(), encoding="utf-8")
    assert ClassifierPlan.read(path) == plan
    assert ClassifierPlan.read(path).digest == plan.digest != dataclasses.replace(plan, split_seed=9).digest


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"subset": -1}, "subset is -1"),
        ({"validation": 1.5}, "validation is 1.5"),
        ({"validation": -0.1}, "or a share below 1"),
        ({"validation": 0.0}, "validation is 0.0"),
        ({"validation": math.nan}, "validation is nan"),
        ({"subset": 10, "validation": 10}, "validation is 10"),
        ({"teacher": PLAN.learner}, "distill_weight is 0"),
        ({"learner": TAUGHT.learner}, "distill_weight is 0.5"),
        ({"learner": TAUGHT.learner, "teacher": TAUGHT.learner}, "teacher's distill_weight"),
    ],
)
def test_a_plan_refuses_what_cannot_work(changes: dict[str, object], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        dataclasses.replace(PLAN, **changes)


@pytest.mark.parametrize("name", [name for name, found in SETS if is_pictures(found)])
def test_the_shipped_plan_is_for_any_pictures(name: str) -> None:
    plan = ClassifierPlan.shipped(name)
    assert plan.data == name and plan.teacher is not None
    assert (plan.held_out(50_000), plan.held_out(30)) == (5_000, 3)
    assert ClassifierPlan.from_dict(plan.to_dict()) == plan


def test_a_share_of_a_subset_is_held_out() -> None:
    assert dataclasses.replace(PLAN, subset=90, validation=0.2).held_out(1_000) == 18
    assert dataclasses.replace(PLAN, subset=90, validation=30).held_out(1_000) == 30


def test_a_change_of_the_recipe_reaches_the_teacher_but_for_the_seed() -> None:
    plan = ClassifierPlan.shipped("cifar10")
    changed = plan.with_recipe(epochs=24, seed=7, accelerator="cpu")
    own = changed.learner.recipe
    assert (own.epochs, own.warmup_epochs, own.seed) == (24, 1.0, 7)
    assert changed.teacher is not None and plan.teacher is not None
    fewer = {"epochs": 24, "warmup_epochs": 1.0, "accelerator": "cpu"}
    assert changed.teacher.recipe == dataclasses.replace(plan.teacher.recipe, **fewer)
    assert plan.with_recipe(epochs=24, warmup_epochs=3.0).learner.recipe.warmup_epochs == 3.0
    assert PLAN.with_recipe(epochs=3).teacher is None


def test_a_plan_names_a_field_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'subset'"):
        ClassifierPlan.from_dict({"subsets": 3})
    with pytest.raises(ConfigError, match="network is 'resnet18'"):
        ClassifierPlan.from_dict({"network": "resnet18"})


def test_learns_and_is_made_again_by_its_plan(tmp_path: Path) -> None:
    first = train_classifier(PLAN, TrainOnly(), folder=tmp_path / "first")
    assert first.provenance["scores"]["accuracy_validation"] > 0.8
    assert first.provenance["notes"] == [NOTE] and first.provenance["pictures"] == 150
    again = train_classifier(ClassifierPlan.from_dict(first.provenance["plan"]), TrainOnly())
    assert (
        weights_sha256(again.network) == weights_sha256(first.network) == first.provenance["weights_sha256"]
    )
    test = Bars().load("test")
    score = evaluate(first, test)
    assert score["accuracy"] > 0.8
    assert score["accuracy"] == (first.probabilities(test).argmax(1) == test.labels).mean()


def test_a_teacher_is_trained_once_and_shared(tmp_path: Path) -> None:
    told: list[str] = []
    first = train_classifier(
        TAUGHT, TrainOnly(), teachers=tmp_path, progress=lambda value: told.append(value.stage)
    )
    assert {"teacher, train", "train"} == set(told)
    kept = list(tmp_path.rglob("classifier.safetensors"))
    assert len(kept) == 1 and first.provenance["teacher"]["accuracy_validation"] > 0.7
    told.clear()
    again = train_classifier(
        TAUGHT, TrainOnly(), teachers=tmp_path, progress=lambda value: told.append(value.stage)
    )
    assert set(told) == {"train"}
    assert weights_sha256(again.network) == weights_sha256(first.network)
    assert weights_sha256(train_classifier(PLAN, TrainOnly()).network) != weights_sha256(first.network)


def test_a_run_is_taken_up_and_another_is_refused(tmp_path: Path) -> None:
    first = train_classifier(PLAN, TrainOnly(), folder=tmp_path)
    assert (tmp_path / STATE_FILE).exists()
    again = train_classifier(PLAN, TrainOnly(), folder=tmp_path)
    assert weights_sha256(again.network) == weights_sha256(first.network)
    assert again.history == first.history
    with pytest.raises(ConfigError, match="another run"):
        train_classifier(dataclasses.replace(PLAN, split_seed=1), TrainOnly(), folder=tmp_path)


def test_survives_its_file_and_says_what_is_wrong_with_another(tmp_path: Path) -> None:
    found = train_classifier(dataclasses.replace(PLAN, subset=90, validation=30), TrainOnly())
    found.save(tmp_path / "classifier.safetensors")
    read = TrainedClassifier.load(tmp_path / "classifier.safetensors")
    test = Bars().load("test")
    np.testing.assert_array_equal(read.probabilities(test), found.probabilities(test))
    assert (read.classes, read.history, read.provenance) == (found.classes, found.history, found.provenance)
    checkpoint.save(tmp_path / "other.safetensors", create("juggler_tabular"))
    with pytest.raises(ArtefactError, match="without classes, history, provenance, standard"):
        TrainedClassifier.load(tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="its classes are"):
        evaluate(read, dataclasses.replace(test, classes=("a", "b", "c")))


@pytest.mark.parametrize("changes", [{"validation": 0}, {"subset": 999}])
def test_refuses_to_divide_what_is_not_there(changes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="divide the training part"):
        train_classifier(dataclasses.replace(PLAN, **changes), TrainOnly())
