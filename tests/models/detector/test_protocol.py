"""Plans, and the honest protocol from end to end on the synthetic set, with a teacher and without."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from juggler import data
from juggler.errors import ArtefactError, ConfigError
from juggler.models import Plan, TrainedDetector, create, probabilities, save, train_detector, weights_sha256
from juggler.models.detector.teacher import Teacher
from juggler.models.train.recipe import Recipe

SET = data.load_set("synthetic")
OPTIONS = {"mix": [4, 2, 3], "widths": [4], "blocks": [1], "strides": [1]}
RECIPE = Recipe(
    epochs=2, batch_size=256, optimizer="adamw", learning_rate=0.01, warmup_epochs=0.5, accelerator="cpu"
)
PLAIN = Plan(data="synthetic", options=OPTIONS, recipe=RECIPE, false_alarm_rate=0.05)
TAUGHT = dataclasses.replace(
    PLAIN,
    recipe=dataclasses.replace(RECIPE, tail_weight=0.5),
    teacher=Teacher(trees=6, depth=4, learning_rate=0.4, mixtures=2000),
    choose_from=2,
)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedDetector, Path, list[str]]:
    folder, stages = tmp_path_factory.mktemp("run"), []
    detector = train_detector(TAUGHT, SET, folder=folder, progress=lambda value: stages.append(value.stage))
    return detector, folder, list(dict.fromkeys(stages))


@pytest.mark.parametrize("plan", [Plan(), PLAIN, TAUGHT, Plan.shipped("nsl-kdd"), Plan.shipped("synthetic")])
def test_plans_survive_toml(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(plan.to_toml(), encoding="utf-8")
    again = Plan.read(path)
    assert again.to_dict() == plan.to_dict()
    assert (again.teacher, again.recipe) == (plan.teacher, plan.recipe)


def test_shipped_plans_make_networks_for_their_sets() -> None:
    assert Plan.shipped("nsl-kdd").teacher is not None
    assert Plan.shipped("synthetic").teacher is None  # for machines without XGBoost
    for name in ("nsl_kdd", "synthetic"):
        plan = Plan.shipped(name)
        assert plan.data == name
        create(plan.network, in_channels=16, image_size=(4, 8), **plan.options)
    with pytest.raises(ConfigError, match="ships none"):
        Plan.shipped("mnist")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1\n", "colour"),
        ("features = 'body'\n", "header, all"),
        ("false_alarm_rate = 1.5\n", "false_alarm_rate"),
        ("choose_from = 99\n", "choose_from"),
        ("[teacher]\ntree = 3\n", "tree"),
        ("[teacher]\ntrees = 0\n", "trees is 0"),
        ("[recipe]\ntail_weight = 0.5\n", r"Give 0, or a \[teacher\] to follow"),
        ("[recipe\n", "not TOML"),
    ],
)
def test_refuses_plans_that_cannot_work(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        Plan.read(path)


def test_a_student_follows_its_teacher_and_provenance_says_so(
    taught: tuple[TrainedDetector, Path, list[str]],
) -> None:
    detector, folder, stages = taught
    names = ("fold-1", "fold-2", "fold-3", "refit")
    assert stages == [stage for name in names for stage in (f"{name}, teacher", name)]
    about = detector.provenance
    assert about["plan"]["teacher"] == TAUGHT.teacher.to_dict()
    assert about["epoch"] == 2
    assert len(about["folds"]) == len(about["teacher_folds"]) == 3
    assert set(about["folds"][0]) == set(about["teacher_folds"][0])
    assert detector.threshold == np.median([fold["threshold"] for fold in about["folds"]])
    for student, teacher in zip(about["folds"], about["teacher_folds"], strict=True):
        assert student["auc_held_out"] > teacher["auc_held_out"] - 0.15
    assert (folder / "refit" / "lesson.safetensors").exists()
    test = SET.load("test")
    found = probabilities(detector.network, detector.encoder.encode(test))
    assert (found.argmax(1) == test.classes()).mean() > 0.7


def test_a_run_started_again_ends_at_the_same_detector(
    taught: tuple[TrainedDetector, Path, list[str]], tmp_path: Path
) -> None:
    detector, folder, _ = taught
    # As after a kill within the refit: its own state is gone, all before is there.
    (folder / "refit" / "training.safetensors").unlink()
    again = train_detector(TAUGHT, SET, folder=folder)
    assert weights_sha256(again.network) == weights_sha256(detector.network)
    assert again.threshold == detector.threshold
    assert again.provenance == detector.provenance
    detector.save(tmp_path / "detector.safetensors")
    loaded = TrainedDetector.load(tmp_path / "detector.safetensors")
    assert loaded.encoder == detector.encoder
    assert weights_sha256(loaded.network) == weights_sha256(detector.network)
    assert (loaded.threshold, loaded.provenance) == (detector.threshold, detector.provenance)


def test_without_a_teacher_it_learns_from_the_records_classes() -> None:
    detector = train_detector(dataclasses.replace(PLAIN, features="all"), SET)
    assert len(detector.encoder.features) == 41
    assert detector.provenance["teacher_folds"] == []
    assert all(fold["auc_held_out"] > 0.6 for fold in detector.provenance["folds"])


def test_a_network_alone_is_no_detector(tmp_path: Path) -> None:
    save(tmp_path / "network.safetensors", create("juggler_tabular", **OPTIONS))
    with pytest.raises(ArtefactError, match="without classes, encoder"):
        TrainedDetector.load(tmp_path / "network.safetensors")
