"""What release 0.1.0 wrote is read: its plans and recipes, its checkpoints, and runs that it had begun."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from juggler import models
from juggler.errors import ConfigError
from juggler.models import ClassifierPlan, Plan, Recipe
from juggler.models.detector.teacher import Teacher

FOLDER = Path(__file__).parent / "release_0_1_0"
RECIPE = Recipe(
    epochs=2, batch_size=8, learning_rate=0.05, warmup_epochs=0.5, ema_decay=0.9, accelerator="cpu"
)


def test_its_recipes_and_plans_are_those_of_today_and_are_written_alike() -> None:
    assert Recipe.read(FOLDER / "recipe.toml") == RECIPE
    assert RECIPE.to_toml() == (FOLDER / "recipe.toml").read_text(encoding="utf-8")
    assert Plan.read(FOLDER / "nsl_kdd.toml") == Plan.shipped("nsl_kdd")
    pictures = ClassifierPlan.read(FOLDER / "pictures.toml")
    assert pictures == ClassifierPlan.shipped("cifar10")
    assert pictures.digest == "33fb08959ab59168", "teachers kept by it are found"
    assert (pictures.learner.recipe.batch_size, pictures.learner.recipe.random_crop) == (256, 4)


def test_a_run_that_it_began_goes_on(tmp_path: Path) -> None:
    for name in ("training.safetensors", "log.csv"):
        shutil.copy(FOLDER / name, tmp_path)
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(24, 1, 4, 4, generator=draw)
    labels = (images.mean((1, 2, 3)) > 0).long()
    network, _ = models.load(FOLDER / "network.safetensors")
    history = models.fit(network, images, labels, RECIPE, folder=tmp_path)
    assert [record.epoch for record in history.epochs] == [1, 2]
    assert (tmp_path / "log.csv").read_text().startswith((FOLDER / "log.csv").read_text())
    other = dataclasses.replace(RECIPE, learning_rate=0.1)
    with pytest.raises(ConfigError, match=r"recipe\.rate was 0\.05 and is 0\.1"):
        models.fit(network, images, labels, other, folder=tmp_path)


def test_its_names_of_fields_work_in_python_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="batch of Recipe is now batch_size"):
        recipe = Recipe(batch=8)
    with pytest.warns(DeprecationWarning, match="rate of Recipe is now learning_rate"):
        assert recipe.rate == recipe.learning_rate == 0.1
    with pytest.warns(DeprecationWarning, match="shift of Recipe is now random_crop"):
        assert dataclasses.replace(recipe, shift=4) == Recipe(batch_size=8, random_crop=4)


def test_a_file_may_use_either_name_and_not_both() -> None:
    assert Recipe.from_dict({"learning_rate": 0.2}) == Recipe.from_dict({"rate": 0.2})
    assert Recipe().changed({"batch": 8, "learning_rate": 0.2}) == Recipe(batch_size=8, learning_rate=0.2)
    with pytest.raises(ConfigError, match="learning_rate and rate, two names of one field"):
        Recipe.from_dict({"learning_rate": 0.2, "rate": 0.2})


def test_its_teachers_are_read_and_written_alike() -> None:
    teacher = Teacher(learning_rate=0.3, ensemble_size=2)
    assert Teacher.from_dict({"rate": 0.3, "members": 2}) == teacher
    assert {"rate": 0.3, "members": 2}.items() <= teacher.to_dict().items()
    with pytest.warns(DeprecationWarning, match="members of Teacher is now ensemble_size"):
        assert Teacher(members=3).ensemble_size == 3
