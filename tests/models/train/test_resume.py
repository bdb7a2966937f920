"""Runs that are killed, and runs in several processes: real ones, each in a process of its own."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors
import torch
from torch import nn

from juggler.errors import ConfigError
from juggler.models import Recipe, create, fit, weights_sha256
from juggler.models.networks.checkpoint import read_tensors, write_tensors
from juggler.models.train.run_state import LOG_FILE, STATE_FILE

SCRIPT = """
import sys, time
import torch
import juggler.models.train.run
from juggler.models import Recipe, create, fit, weights_sha256

torch.manual_seed(0)
network = create("juggler_tabular", widths=(6, 8), blocks=(1, 1), image_size=(5, 5), classes=3, dropout=0.2)
images = torch.randn(120, 1, 5, 5)
labels = (images[:, 0, 0, 0] > 0).long() + (images[:, 0, 2, 2] > 0).long()
recipe = Recipe(
    epochs=5, batch_size=32, optimizer=sys.argv[2], learning_rate=0.01, ema_decay=0.9, mixup_alpha=0.2,
    feature_dropout=0.1, class_weight_power=0.5, accelerator="cpu",
)
stop = sys.argv[3] if len(sys.argv) > 3 else None
if stop:
    juggler.models.train.run.SECONDS_BETWEEN_STATES = 0.0
def progress(value):
    if f"{value.detail['epoch']}.{value.detail['step']}" == stop:
        print("stopped", flush=True)
        time.sleep(60)  # killed long before
validate = lambda predict: {"normal": float(predict(images)[:, 0].mean())}
fit(network, images, labels, recipe, folder=sys.argv[1], progress=progress, validate=validate)
print(weights_sha256(network))
"""


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def epochs_done(folder: Path) -> int:
    log = folder / LOG_FILE
    return len(log.read_text(encoding="utf-8").splitlines()) - 1 if log.exists() else 0


@pytest.mark.parametrize(("stop", "steps"), [("3.1", 1), ("3.3", 3), ("1.2", 2)])
def test_a_run_killed_within_an_epoch_ends_at_the_same_weights(tmp_path: Path, stop: str, steps: int) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    first = start(broken, "adamw", stop)
    assert first.stdout is not None
    assert first.stdout.readline() == "stopped\n"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    epoch = int(stop[0])
    assert epochs_done(broken) == epoch - 1
    _, header = read_tensors(broken / STATE_FILE, "training")
    assert header["unfinished"]["steps"] == steps
    with start(broken, "adamw") as resumed, start(whole, "adamw") as unbroken:
        digests = [process.communicate(timeout=300)[0].strip() for process in (resumed, unbroken)]
        assert [resumed.returncode, unbroken.returncode] == [0, 0]
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]

    def rows(folder: Path) -> list[list[str]]:
        lines = (folder / LOG_FILE).read_text(encoding="utf-8").splitlines()
        return [
            [cell for i, cell in enumerate(line.split(",")) if i != 3] for line in lines
        ]  # not duration_s

    assert rows(broken) == rows(whole)
    assert len(rows(broken)) == 6
    assert sorted(path.name for path in broken.iterdir()) == sorted([LOG_FILE, STATE_FILE])


def test_the_state_of_every_optimizer_comes_back(tmp_path: Path) -> None:
    images = torch.randn(64, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    labels = (images[:, 0, 1, 1] > 0).long()
    for optimizer, slots in (("sgd", {"momentum_buffer"}), ("adamw", {"step", "exp_avg", "exp_avg_sq"})):
        recipe = Recipe(epochs=4, batch_size=16, optimizer=optimizer, learning_rate=0.02, accelerator="cpu")
        digests, folder = [], tmp_path / optimizer
        for stops in ((4,), (1, 3, 4)):
            for stop in stops:
                torch.manual_seed(0)  # a new network each time, as a new process would make
                module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
                place = None if stops == (4,) else folder
                fit(module, images, labels, recipe, folder=place, stop_epoch=stop)
            digests.append(weights_sha256(module))
        assert digests[0] == digests[1]
        with safetensors.safe_open(str(folder / STATE_FILE), framework="pt") as file:
            kept = {name.split(".")[2] for name in file.keys() if name.startswith("optimizer.")}  # noqa: SIM118
        assert kept == slots


class Counting(nn.Module):
    """A small network that counts the records it trains on; no batch norm, no random draws."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += len(x)
        return self.layers(x)


def test_a_run_that_an_earlier_release_began_goes_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = create("juggler_tabular", widths=(4,), blocks=(1,), strides=(1,), image_size=(3, 3), classes=2)
    images, labels = torch.randn(40, 1, 3, 3), torch.arange(40) % 2
    recipe = Recipe(epochs=3, batch_size=20, warmup_epochs=0.5, accelerator="cpu")
    fit(network, images, labels, recipe, folder=tmp_path, stop_epoch=1)
    tensors, header = read_tensors(tmp_path / STATE_FILE, "training")
    identity = header["identity"]
    for part, field in (("recipe", "kernel_decay"), ("recipe", "flip"), ("network", "identity")):
        del identity[part][field]  # such a release did not have it yet
    about = {"identity": identity, "history": header["history"]}
    write_tensors(tmp_path / STATE_FILE, "training", tensors, about)
    assert len(fit(network, images, labels, recipe, folder=tmp_path).epochs) == 3
    with pytest.raises(ConfigError, match=r"recipe\.flip was False and is True"):
        fit(network, images, labels, replace(recipe, flip=True), folder=tmp_path)


def test_two_processes_train_what_one_does_each_on_half_the_records(tmp_path: Path) -> None:
    images = torch.randn(96, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    labels = (images[:, 0, 1, 1] > 0).long()
    weights, losses, seen = [], [], []
    for devices, strategy in ((1, "auto"), (2, "ddp_spawn")):
        torch.manual_seed(0)
        module = Counting()
        recipe = Recipe(
            epochs=2,
            batch_size=16,
            learning_rate=0.1,
            ema_decay=0.9,
            accelerator="cpu",
            devices=devices,
            strategy=strategy,
        )
        history = fit(module, images, labels, recipe, folder=tmp_path / strategy)
        losses.append([epoch.loss for epoch in history.epochs])
        weights.append(torch.cat([weight.detach().flatten() for weight in module.parameters()]))
        seen.append(int(module.seen))
        assert epochs_done(tmp_path / strategy) == 2
    assert seen == [2 * 96, 96]
    # Only the order of additions differs.
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), rtol=1e-4, atol=1e-6)
