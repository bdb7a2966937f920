"""The training loop: it learns, weighs, averages and logs as its recipe says, and refuses before it works."""

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from juggler import models
from juggler.errors import ArtefactError, ConfigError, DataError
from juggler.models import Recipe, fit, weights_sha256
from juggler.models.train import optimization
from juggler.models.train.device_data import DeviceData
from juggler.models.train.optimization import rate_at
from juggler.models.train.run_state import STATE_FILE

RECIPE = Recipe(epochs=3, batch_size=32, learning_rate=0.05, warmup_epochs=0.5, accelerator="cpu")


def network(seed: int = 0, **options: object) -> nn.Module:
    torch.manual_seed(seed)
    chosen = {"widths": (6,), "blocks": (1,), "strides": (1,), "image_size": (5, 5), "classes": 3}
    return models.create("juggler_tabular", **{**chosen, **options})


def records(count: int = 160, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Return noisy images with one bright cell each, whose place is the class; classes 0, 1, 2 as 1:2:3."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, 5, 5, generator=draw)
    labels = torch.tensor([0, 1, 1, 2, 2, 2])[torch.randint(6, (count,), generator=draw)]
    images[torch.arange(count), 0, labels, labels] += 3
    return images, labels


def accuracy(images: Tensor, labels: Tensor) -> Callable[[Callable[[Tensor], np.ndarray]], dict[str, float]]:
    return lambda predict: {"accuracy": float((predict(images).argmax(1) == labels.numpy()).mean())}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adamw", "learning_rate": 0.01, "schedule": "one_cycle", "warmup_epochs": 0.0},
        {"ema_decay": 0.9, "class_weight_power": 0.5, "label_smoothing": 0.05},
        {"mixup_alpha": 0.2, "feature_dropout": 0.02, "precision": "bf16-mixed"},
    ],
)
def test_learns_what_can_be_learnt(changes: dict[str, object]) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=12, **changes)
    images, labels = records(480)
    module = network(dropout=0.1)
    history = fit(module, images, labels, recipe, validate=accuracy(*records(200, seed=2)))
    assert not module.training
    assert len(history.epochs) == 12
    assert history.epochs[-1].loss < 0.7 * history.epochs[0].loss
    assert history.epochs[-1].scores["accuracy"] > 0.8
    assert history.best("accuracy").scores["accuracy"] >= history.epochs[-1].scores["accuracy"]
    # What was validated last is what came out.
    held, truth = records(200, seed=2)
    found = (models.probabilities(module, held).argmax(1) == truth.numpy()).mean()
    assert found == history.epochs[-1].scores["accuracy"]


def test_takes_arrays_and_gives_the_same_for_the_same_seed_only() -> None:
    images, labels = records()
    recipe = dataclasses.replace(RECIPE, mixup_alpha=0.3, feature_dropout=0.2, epochs=2)
    digests = []
    for seed in (0, 0, 1):
        module = network(dropout=0.3)
        fit(module, images.numpy(), labels.numpy(), dataclasses.replace(recipe, seed=seed))
        digests.append(weights_sha256(module))
        torch.manual_seed(seed + 17)  # what was drawn outside must not matter
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("field", ["mixup_alpha", "feature_dropout", "label_smoothing", "class_weight_power"])
def test_every_regulariser_changes_the_outcome(field: str) -> None:
    images, labels = records()
    outcomes = set()
    for value in (0.0, 0.4):
        module = network()
        fit(module, images, labels, dataclasses.replace(RECIPE, epochs=1, **{field: value}))
        outcomes.add(weights_sha256(module))
    assert len(outcomes) == 2


def test_leaves_the_callers_random_numbers_alone() -> None:
    images, labels = records()
    module = network()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(module, images, labels, dataclasses.replace(RECIPE, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_records_of_weight_0_teach_nothing() -> None:
    # Without batch norm, so that a record can act through its loss alone.
    images, labels = records(64)
    wrong = labels.clone()
    wrong[32:] = (labels[32:] + 1) % 3
    weight = torch.ones(64)
    weight[32:] = 0
    digests = set()
    for targets in (labels, wrong):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Flatten(), nn.Linear(25, 3))
        fit(module, images, targets, RECIPE, sample_weight=weight)
        digests.add(weights_sha256(module))
    assert len(digests) == 1


def test_refreshed_statistics_are_those_of_the_data() -> None:
    images = torch.randn(300, 2, 4, 4) * 3 + 5
    module = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5))
    module[0].running_mean.fill_(99)
    data = DeviceData(images, torch.zeros(300), torch.ones(300), None, torch.device("cpu"))
    optimization.refresh_statistics(module, data, 100)
    torch.testing.assert_close(module[0].running_mean, images.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module[0].running_var, images.var((0, 2, 3)), rtol=0.02, atol=0.0)
    assert module[0].momentum == 0.1
    assert not module.training


def test_averaged_networks_come_out_with_statistics_of_their_own() -> None:
    images, labels = records()
    module = network()
    fit(module, images, labels, dataclasses.replace(RECIPE, ema_decay=0.95))
    conv, norm = module.stem[0], module.stem[1]
    with torch.no_grad():
        mapped = conv(images)
    torch.testing.assert_close(norm.running_mean, mapped.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.running_var, mapped.var((0, 2, 3)), rtol=0.05, atol=0.0)


def test_average_follows_the_weights_and_leaves_the_network_alone() -> None:
    module = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = optimization.WeightAverage(module, 0.5)
    nn.init.ones_(module.weight)
    average.update(module, 0)  # early on the decay is (1 + t) / (10 + t)
    torch.testing.assert_close(average.weights["weight"], torch.full((1, 2), 0.9))
    average.update(module, 10_000)
    torch.testing.assert_close(average.weights["weight"], torch.full((1, 2), 0.95))
    out = average.network(module, torch.zeros(2, 2), 2)
    torch.testing.assert_close(out.weight, torch.full((1, 2), 0.95))
    assert torch.equal(module.weight, torch.ones(1, 2))


def test_stopping_early_is_the_first_part_of_the_whole_run(tmp_path: Path) -> None:
    images, labels = records()
    whole, part = network(), network()
    full = fit(whole, images, labels, RECIPE)
    early = fit(part, images, labels, RECIPE, folder=tmp_path, stop_epoch=2)
    assert [e.loss for e in early.epochs] == [e.loss for e in full.epochs[:2]]
    assert weights_sha256(part) != weights_sha256(whole)
    fit(part, images, labels, RECIPE, folder=tmp_path)
    assert weights_sha256(part) == weights_sha256(whole)
    with pytest.raises(ConfigError, match="has done 3"):
        fit(part, images, labels, RECIPE, folder=tmp_path, stop_epoch=1)


def test_tells_every_step_and_logs_every_epoch_once(tmp_path: Path) -> None:
    images, labels = records(100)
    steps: list[tuple[float, ...]] = []
    run = {
        "folder": tmp_path,
        "validate": accuracy(images, labels),
        "progress": lambda progress: steps.append(
            tuple(progress.detail[name] for name in ("epoch", "epochs", "step", "steps"))
        ),
    }
    fit(network(), images, labels, RECIPE, stop_epoch=2, **run)
    history = fit(network(), images, labels, RECIPE, **run)
    assert steps == [(epoch, 3, step, 4) for epoch in (1, 2, 3) for step in (1, 2, 3, 4)]
    with (tmp_path / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0]) == ["epoch", "loss", "rate", "duration_s", "accuracy"]
    for row, epoch in zip(rows, history.epochs, strict=True):
        assert float(row["loss"]) == pytest.approx(epoch.loss, rel=1e-5)
        assert float(row["accuracy"]) == epoch.scores["accuracy"]
    assert [e.rate for e in history.epochs] == [rate_at(step, 4, RECIPE) for step in (3, 7, 11)]
    with pytest.raises(KeyError):
        history.best("recall")


def test_every_record_is_seen_once_an_epoch_however_the_batches_fall() -> None:
    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1, 2)
            self.seen: list[Tensor] = []

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                self.seen.append(x[:, 0, 0, 0].detach())
            return self.head(x[:, :, 0, 0])

    for count, batch in ((7, 3), (3, 2), (10, 10), (5, 64), (2, 2)):
        module = Watch()
        images = torch.arange(float(count)).reshape(-1, 1, 1, 1)
        recipe = dataclasses.replace(RECIPE, epochs=2, batch_size=batch)
        fit(module, images, torch.arange(count) % 2, recipe)
        steps = len(module.seen) // 2
        assert all(len(part) >= 2 for part in module.seen)
        for epoch in (module.seen[:steps], module.seen[steps:]):
            assert sorted(torch.cat(epoch).tolist()) == list(range(count))


def test_steps_are_plain_descent_at_the_schedules_rate_with_decay_on_weights_alone() -> None:
    images, labels = records(40)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(25, 3))
    weight, bias = module[1].weight.detach().clone(), module[1].bias.detach().clone()
    recipe = dataclasses.replace(RECIPE, batch_size=40, momentum=0.0, weight_decay=0.3, warmup_epochs=0.0)
    fit(module, images, labels, recipe)
    for step in range(3):  # the same by hand, softmax regression's gradient written out
        x, rate = images.flatten(1), rate_at(step, 1, recipe)
        error = (torch.softmax(x @ weight.T + bias, 1) - nn.functional.one_hot(labels, 3)) / 40
        weight, bias = weight - rate * (error.T @ x + 0.3 * weight), bias - rate * error.sum(0)
    torch.testing.assert_close(module[1].weight.detach(), weight)
    torch.testing.assert_close(module[1].bias.detach(), bias)


def test_a_loss_that_is_no_number_stops_the_run_and_says_where() -> None:
    images, labels = records()
    with pytest.raises(models.DivergenceError, match=r"epoch \d, step \d of 5.*Lower the rate"):
        fit(
            network(),
            images * 1e15,
            labels,
            dataclasses.replace(RECIPE, learning_rate=1e30, warmup_epochs=0.0),
        )


IMAGES, LABELS = records(20)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:0], LABELS[:0], "0 records"),
        (IMAGES[:1], LABELS[:1], "1 records"),
        (IMAGES[:, 0], LABELS, r"images are float32 \[20, 5, 5\]"),
        (IMAGES.long(), LABELS, "images are int64"),
        (IMAGES, LABELS.float(), "labels are float32"),
        (IMAGES, torch.full((20, 3), 0.5), "record 0 are no shares"),
        (IMAGES, torch.full((20, 3), float("nan")), "record 0 are no shares"),
        (IMAGES, torch.full((20, 4), 0.25), "shares of 4 classes, the network has 3"),
        (IMAGES, LABELS[:, None], r"labels are int64 \[20, 1\]"),
        (IMAGES, LABELS[:19], "20 images and 19 labels"),
        (IMAGES, LABELS + 1, "labels run from 1 to 3, the network has 3 classes"),
        (IMAGES, LABELS - 1, "labels run from -1"),
        (IMAGES.clone().index_fill(0, torch.tensor([3, 7]), float("nan")), LABELS, "image 3 holds a NaN"),
    ],
)
def test_refuses_records_before_it_works(images: Tensor, labels: Tensor, message: str) -> None:
    module = network()
    before = weights_sha256(module)
    with pytest.raises(DataError, match=message):
        fit(module, images, labels, RECIPE)
    assert weights_sha256(module) == before


@pytest.mark.parametrize(
    "weight", [torch.ones(19), -torch.ones(20), torch.zeros(20), torch.full((20,), torch.inf)]
)
def test_refuses_sample_weights_that_mean_nothing(weight: Tensor) -> None:
    with pytest.raises(DataError, match="weight"):
        fit(network(), IMAGES, LABELS, RECIPE, sample_weight=weight)


def test_shares_of_each_class_that_are_all_of_one_teach_what_class_numbers_do() -> None:
    images, labels = records()
    recipe = dataclasses.replace(RECIPE, class_weight_power=0.5, label_smoothing=0.1, ema_decay=0.9)
    outcomes = []
    for targets in (labels, nn.functional.one_hot(labels, 3).float()):
        module = network()
        history = fit(module, images, targets, recipe)
        outcomes.append((models.probabilities(module, images), [epoch.loss for epoch in history.epochs]))
    np.testing.assert_allclose(outcomes[0][0], outcomes[1][0], atol=1e-4)
    np.testing.assert_allclose(outcomes[0][1], outcomes[1][1], rtol=1e-4)


def test_refuses_networks_machines_and_validations_that_do_not_fit() -> None:
    cases: list[tuple[nn.Module, Recipe, str]] = [
        (network(in_channels=2), RECIPE, "does not take them"),
        (nn.Conv2d(1, 3, 3), RECIPE, "no logits"),
        (nn.Flatten(), RECIPE, "no weights to train"),
        (network(), dataclasses.replace(RECIPE, accelerator="abacus"), "abacus"),
        (network(), dataclasses.replace(RECIPE, strategy="none"), "strategy 'none'"),
    ]
    for module, recipe, message in cases:
        with pytest.raises(ConfigError, match=message):
            fit(module, IMAGES, LABELS, recipe)
    with pytest.raises(ConfigError, match="labels are class numbers"):
        fit(network(), IMAGES, LABELS, dataclasses.replace(RECIPE, tail_weight=0.5))
    with pytest.raises(ConfigError, match="stop_epoch is 4"):
        fit(network(), IMAGES, LABELS, RECIPE, stop_epoch=4)
    with pytest.raises(ConfigError, match=r"no number came back for \['auc'\]"):
        fit(network(), IMAGES, LABELS, RECIPE, validate=lambda _: {"auc": float("nan")})


def test_refuses_to_go_on_with_another_run_and_says_what_differs(tmp_path: Path) -> None:
    fit(network(), IMAGES, LABELS, RECIPE, folder=tmp_path, stop_epoch=1)
    cases = [
        (
            network(),
            LABELS,
            dataclasses.replace(RECIPE, learning_rate=0.2),
            r"recipe\.rate was 0\.05 and is 0\.2",
        ),
        (network(), LABELS, dataclasses.replace(RECIPE, seed=3), r"recipe\.seed was 0 and is 3"),
        (network(widths=(7,)), LABELS, RECIPE, r"network\.widths was \[6\] and is \[7\]"),
        (network(), (LABELS + 1) % 3, RECIPE, r"data\.sha256 was"),
    ]
    for module, labels, recipe, message in cases:
        before = weights_sha256(module)
        with pytest.raises(ConfigError, match=message):
            fit(module, IMAGES, labels, recipe, folder=tmp_path)
        assert weights_sha256(module) == before
    state = tmp_path / STATE_FILE
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(ArtefactError, match="no whole safetensors file"):
        fit(network(), IMAGES, LABELS, RECIPE, folder=tmp_path)


def test_probabilities_leave_the_networks_mode_as_it_was() -> None:
    module = network(dropout=0.5).train()
    module.head[1].eval()
    modes = [part.training for part in module.modules()]
    found = models.probabilities(module, IMAGES.numpy(), batch=7)
    assert [part.training for part in module.modules()] == modes
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(found, models.probabilities(module.eval(), IMAGES), rtol=1e-5, atol=1e-7)
