"""Recipes: checked when made, the same in TOML; and the learning rate they lay out."""

import dataclasses
from pathlib import Path

import pytest

from juggler.errors import ConfigError
from juggler.models import Recipe
from juggler.models.train.optimization import rate_at

OTHER = Recipe(
    epochs=7,
    batch_size=64,
    optimizer="adamw",
    learning_rate=1e-5,
    momentum=0.85,
    weight_decay=0.0,
    warmup_epochs=0.5,
    schedule="one_cycle",
    label_smoothing=0.1,
    class_weight_power=0.5,
    ema_decay=0.999,
    mixup_alpha=0.2,
    feature_dropout=0.05,
    flip=True,
    random_crop=4,
    cutout=8,
    linear_by=0.8,
    kernel_decay=1e-4,
    distill_weight=0.5,
    distill_temperature=2.0,
    channels_last=True,
    seed=2**40,
    precision="bf16-mixed",
    accelerator="cpu",
    devices=-1,
    strategy="ddp",
)


def test_every_field_survives_toml(tmp_path: Path) -> None:
    default = Recipe().to_dict()
    taught = dataclasses.replace(OTHER, mixup_alpha=0.0, tail_weight=0.3)  # they exclude each other
    for name, value in default.items():
        assert value not in (OTHER.to_dict()[name], taught.to_dict()[name]) or name in (
            "mixup_alpha",
            "tail_weight",
        )
    path = tmp_path / "recipe.toml"
    for recipe in (Recipe(), OTHER, taught):
        path.write_text(recipe.to_toml(), encoding="utf-8")
        assert Recipe.read(path) == recipe
        assert len(recipe.to_toml().splitlines()) == len(dataclasses.fields(Recipe))


def test_fields_left_out_have_their_defaults_and_whole_numbers_do_for_floats(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("# short\nepochs = 3\nrate = 1\n", encoding="utf-8")
    recipe = Recipe.read(path)
    assert recipe == Recipe(epochs=3, learning_rate=1.0)
    assert isinstance(recipe.learning_rate, float)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", True),
        ("batch_size", 1),
        ("optimizer", "adam"),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("learning_rate", float("nan")),
        ("learning_rate", "fast"),
        ("momentum", 1.0),
        ("weight_decay", -1e-4),
        ("warmup_epochs", 30),
        ("schedule", "step"),
        ("label_smoothing", 1.0),
        ("class_weight_power", 1.5),
        ("ema_decay", 1.0),
        ("mixup_alpha", -0.1),
        ("feature_dropout", 1.0),
        ("tail_weight", -0.1),
        ("flip", 1),
        ("random_crop", -1),
        ("cutout", 2.5),
        ("linear_by", 1.5),
        ("kernel_decay", -1e-4),
        ("distill_weight", 1.01),
        ("distill_temperature", 0.0),
        ("seed", -1),
        ("precision", "16-mixed"),
        ("devices", 0),
        ("accelerator", 3),
    ],
)
def test_refuses_a_value_that_cannot_work(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        Recipe(**{field: value})


def test_refuses_fields_that_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match=r"mixup_alpha is 0\.2.*tail_weight"):
        Recipe(mixup_alpha=0.2, tail_weight=0.1)


def test_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    with pytest.raises(ConfigError, match="Check the path"):
        Recipe.read(path)
    path.write_text("epochs = \n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not TOML"):
        Recipe.read(path)
    path.write_text("learning_speed = 0.1\nepoch = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"recipe\.toml: there is no field 'learning_speed'"):
        Recipe.read(path)
    with pytest.raises(ConfigError, match="Did you mean 'epochs'"):
        Recipe.from_dict({"epoch": 3})


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
@pytest.mark.parametrize("warmup", [0.0, 0.5, 2.0])
def test_rate_rises_to_its_height_and_falls_to_nothing(schedule: str, warmup: float) -> None:
    recipe = Recipe(epochs=10, schedule=schedule, warmup_epochs=warmup, learning_rate=0.4)
    rates = [rate_at(step, 50, recipe) for step in range(500)]
    peak = rates.index(max(rates))
    expected = {"cosine": warmup * 50, "one_cycle": warmup * 50 or 150}[schedule]
    assert peak == expected
    assert rates[peak] == pytest.approx(0.4)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < 1e-3
    if schedule == "one_cycle":
        assert rates[0] == pytest.approx(0.4 / 25)


def test_one_epoch_of_one_step_trains_at_all() -> None:
    for schedule in ("cosine", "one_cycle"):
        assert rate_at(0, 1, Recipe(epochs=1, warmup_epochs=0, schedule=schedule)) > 0
        assert rate_at(0, 1, Recipe(epochs=1, warmup_epochs=1, schedule=schedule)) > 0
