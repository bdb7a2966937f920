"""`juggler train`: a run that is killed and started again ends where an unbroken one does."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from commands import Program, Workshop, start
from juggler.models.detector.plan import Plan
from juggler.runtime import Artefact
from made_pictures import write_folder

LINE = ("train", "synthetic", "--epochs", "3", "--seed", "5", "--plan")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute with as many threads as `start` gives its processes: the order of additions depends on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def states(folder: Path) -> int:
    """Count the trainings of a run that have kept a state."""
    return len(list(folder.glob("*/*.safetensors")))


def test_a_killed_run_goes_on_and_ends_at_the_same_weights(
    program: Program, workshop: Workshop, tmp_path: Path, one_thread: None
) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    line = (*LINE, workshop.folder / "plan.toml", "--out")
    with start(*line, broken, stderr=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 60
        while states(broken) < 2 and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        first.send_signal(signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    assert states(broken) in (2, 3), "killed in the midst of the folds"
    assert not (broken / "detector.safetensors").exists() and not (broken / "detector.onnx").exists()
    kept = next((broken / "fold-1").glob("*.safetensors"))
    written = kept.stat().st_mtime_ns

    assert "SYNTHETIC" in program(*line, broken).check(0).out
    assert kept.stat().st_mtime_ns == written, "what was done is not done again"
    program(*line, whole).check(0)
    resumed, straight = (Artefact.load(folder / "detector.onnx") for folder in (broken, whole))
    assert resumed.fields.provenance["weights_sha256"] == straight.fields.provenance["weights_sha256"]
    assert resumed.threshold == straight.threshold
    names = [{path.name for path in folder.iterdir()} for folder in (broken, whole)]
    assert names[0] == names[1]


def test_a_finished_run_is_told_again_from_its_plan(
    program: Program, workshop: Workshop, elsewhere: Path
) -> None:
    line = ("train", "synthetic", "--plan", workshop.folder / "plan.toml", "--epochs", "1")
    done = program(*line, "--features", "all", "--false-alarm-rate", "0.05").check(0)
    run = elsewhere / "runs" / "synthetic"
    assert "epoch 1" in done.out and "SYNTHETIC" in done.out
    plan = Plan.read(run / "plan.toml")
    assert (plan.features, plan.false_alarm_rate, plan.recipe.epochs) == ("all", 0.05, 1)
    first = Artefact.load(run / "detector.onnx")
    assert len(first.encoder.features) == 41
    program("train", "synthetic", "--plan", run / "plan.toml", "--out", run).check(0)
    assert Artefact.load(run / "detector.onnx").fields.provenance == first.fields.provenance
    other = ("train", "synthetic", "--plan", run / "plan.toml", "--out", run, "--seed", "9")
    program(*other).check(2, str(run))
    wide = json.loads(program("info", run / "detector-wide.onnx", "--json").check(0).out)
    assert wide["form"] == "wide" and wide["provenance"]["plan"] == plan.to_dict()


PICTURES = """
data = "image_folder"
validation = 2

[network]
name = "juggler_tabular"
widths = [4]
blocks = [1]
strides = [2]
image_size = [32, 32]

[recipe]
epochs = 1
batch_size = 8
learning_rate = 0.01
accelerator = "cpu"
"""


def test_both_parts_are_looked_at_before_training(program: Program, tmp_path: Path) -> None:
    root, plan = tmp_path / "pictures", tmp_path / "plan.toml"
    plan.write_text(PICTURES, encoding="utf-8")
    write_folder(root, {"train/cat": 8, "train/dog": 8, "test/cat": 2, "test/dog": 2}, size=32)
    (root / "train" / "cat" / "more.gif").write_bytes(b"GIF89a")
    (root / "test" / "dog" / "scan.TIFF").write_bytes(b"II*")
    bad = root / "test" / "dog" / "001.png"
    good = bad.read_bytes()
    line = ("train", "image_folder", "--plan", plan, "--data", root, "--out", tmp_path / "run")
    bad.write_bytes(good[:40])
    done = program(*line).check(3, "test/dog/001.png", "train: 16 pictures in 2 classes (cat 8, dog 8)")
    assert "loss" not in done.err, "nothing was trained"
    bad.write_bytes(good)
    done = program(*line).check(0, "1 files in", "1 .gif", "1 .tiff", "test: 4 pictures")
    assert f"of {root}, train part, SHA-256" in done.out
