"""`flatten`, `measure`, `evaluate`, `doctor` and `demo` on real networks, in an empty home."""

from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from commands import Program, Workshop, environment, run
from juggler.clock.power import METERS
from juggler.metrics import Scores
from juggler.nouns import Certificate
from juggler.runtime import BACKENDS
from juggler.runtime.measure.speed import Measured
from juggler.runtime.onnx_graphs.metadata import split
from juggler.transform import Flattened


def test_flatten_prints_the_proof_and_writes_the_network(program: Program, elsewhere: Path) -> None:
    done = program("flatten", "juggler_resnet18", "--shape", "3,32,32", "--out", "flat.onnx").check(0)
    assert "within" in done.out and "fuse_vertical" in done.out and "flat.onnx" in done.out
    _, metadata = split((elsewhere / "flat.onnx").read_bytes())
    certificate = Certificate.from_json(metadata["juggler.certificate"])
    assert certificate.passed and certificate.worst("float64") <= 1e-12


def test_flatten_takes_a_checkpoint_and_what_it_made_itself(program: Program, workshop: Workshop) -> None:
    shape = ",".join(map(str, workshop.trained.encoder.shape))
    done = program("flatten", workshop.checkpoint, "--shape", shape, "--out", "flat.onnx").check(0)
    assert "fold_scale" in done.out and "fuse_vertical" in done.out
    again = program("flatten", "flat.onnx", "--shape", shape).check(0)
    assert "fuse_vertical" not in again.out and "fold_scale" not in again.out
    assert "within" in again.out


MODULE = """
from torch import nn

def make(width=8):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, bias=False), nn.BatchNorm2d(width), nn.Conv2d(width, width, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4),
    )
"""


@pytest.fixture
def module(elsewhere: Path) -> Path:
    """Put a module of the user's own into the current directory, and images beside it."""
    (elsewhere / "nets_of_the_cli_test.py").write_text(MODULE, encoding="utf-8")
    np.save(elsewhere / "images.npy", np.random.default_rng(0).standard_normal((40, 3, 12, 12), np.float32))
    return elsewhere


@pytest.mark.usefixtures("module")
def test_flatten_takes_a_factory_and_prints_decisions(program: Program) -> None:
    line = ("flatten", "nets_of_the_cli_test:make(width=6)", "--shape", "3,12,12")
    done = program(*line).check(0)
    assert "Decisions" in done.out and "0 ..." in done.out and "Where the speed" not in done.out
    assert "fuse_vertical" not in program(*line, "--policy", "never").check(0).out
    program(*line, "--policy", "guess").check(2, "guess")
    program("flatten", "nets_of_the_cli_test:made").check(2, "nets_of_the_cli_test has no made", "make")


@pytest.mark.usefixtures("module")
def test_a_rollback_and_a_failing_proof_have_codes_of_their_own(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ("flatten", "nets_of_the_cli_test:make(width=6)", "--shape", "3,12,12", "--report", "net.html")
    flattening = importlib.import_module("juggler.runtime.tuning.flattening")
    done = flattening.flatten

    def rolled_back(*args: Any, **options: Any) -> Flattened:
        result = done(*args, **options)
        return replace(result, rolled_back=result.rewrites[:1], rewrites=result.rewrites[1:])

    def unproved(*args: Any, **options: Any) -> Flattened:
        result = done(*args, **options)
        strict = replace(result.certificate, limits={"float64": 0.0, "float32": 0.0})
        return replace(result, certificate=strict)

    for function, code, headline in ((rolled_back, 13, "ROLLED BACK: 1 of"), (unproved, 6, "NOT CERTIFIED")):
        monkeypatch.setattr(flattening, "flatten", function)
        assert program(*line).check(code).out.startswith(headline)
        assert headline in Path("net.html").read_text(encoding="utf-8")


def test_flatten_measures_attributes_and_quantises(program: Program, module: Path) -> None:
    line = ("flatten", "nets_of_the_cli_test:make", "--shape", "3,12,12", "--backend", "onnxruntime")
    files = ("--int8", "images.npy", "--out", "net.onnx", "--report", "net.html")
    done = program(*line, "--policy", "measure", "--attribute", *files).check(0)
    assert "Where the speed comes from, onnxruntime" in done.out and "openvino" not in done.out
    assert "of 10 classes, on 10 inputs held out" in done.out
    for name, key in (("net.onnx", "juggler.certificate"), ("net-int8.onnx", "juggler.int8")):
        _, metadata = split((module / name).read_bytes())
        assert key in metadata
    page = (module / "net.html").read_text(encoding="utf-8")
    assert "Where the speed comes from" in page and "Decisions" in page


def test_flatten_takes_an_archive_of_torch_export(program: Program, elsewhere: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.ReLU()).eval()
    torch.export.save(torch.export.export(network, (torch.randn(1, 3, 8, 8),)), elsewhere / "net.pt2")
    done = program("flatten", "net.pt2", "--shape", "3,8,8").check(0)
    assert "fuse_vertical" in done.out
    (elsewhere / "net.pt2").write_bytes(b"no archive")
    program("flatten", "net.pt2").check(4, "no archive of torch.export")


@pytest.mark.usefixtures("module")
def test_flatten_refuses_calibration_that_cannot_be(program: Program, module: Path) -> None:
    line = ("flatten", "nets_of_the_cli_test:make", "--shape", "3,12,12")
    program(*line, "--int8", "images.npy").check(2, "--out")
    program(*line, "--int8", "nowhere.npy", "--out", "n.onnx").check(2, "nowhere.npy")
    program(*line[:2], "--shape", "3,9,9", "--int8", "images.npy", "--out", "n.onnx").check(
        2, "(40, 3, 12, 12)"
    )
    np.save(module / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    program(*line, "--int8", "objects.npy", "--out", "n.onnx").check(2, "numpy.save")


def test_measure_races_artefacts(program: Program, workshop: Workshop, elsewhere: Path) -> None:
    line = ("measure", workshop.wide, workshop.artefact, "--batches", "1,4", "--rounds", "2")
    done = program(*line, "--backends", "onnxruntime,tensorrt", "--out", "m.json").check(0)
    assert "tensorrt was not run: not here" in done.out and "pip install 'tensorrt-cu12" in done.out
    found = Measured.from_json((elsewhere / "m.json").read_text(encoding="utf-8"))
    timed = {(t.subject, t.backend, t.batch) for t in found.timings}
    names = ("detector-wide", "detector")
    assert timed == {(name, "onnxruntime", batch) for name in names for batch in (1, 4)}
    assert all(0 < t.min_ms <= t.median_ms <= t.p95_ms <= t.p99_ms and t.calls > 0 for t in found.timings)
    assert {s.subject for s in found.speedups} == {"detector"}
    assert [skip.what for skip in found.skipped] == ["tensorrt"]
    assert found.machine.cores >= 1


def test_measure_shows_precisions_where_there_are_several(program: Program, workshop: Workshop) -> None:
    line = ("measure", workshop.artefact, "--rounds", "1", "--backends", "onnxruntime")
    done = program(*line, "--precisions", "float32, bfloat16,int8").check(0)
    assert "precision" in done.out and "int8" in done.out
    assert "onnxruntime in bfloat16 was not run" in done.out
    assert "precision" not in program(*line).check(0).out
    program(*line, "--precisions", "int4").check(2, "there is no precision 'int4'")


def test_measure_adds_the_flat_form(program: Program, workshop: Workshop) -> None:
    shape = ",".join(map(str, workshop.trained.encoder.shape))
    line = ("measure", workshop.checkpoint, "--flat", "--shape", shape, "--rounds", "2")
    done = program(*line, "--backends", "torch_eager").check(0)
    assert "detector flat" in done.out


def test_evaluate_gives_one_row_a_form_and_backend(program: Program, workshop: Workshop) -> None:
    line = ("evaluate", workshop.artefact, workshop.wide, "--set", "synthetic", "--parts", "test, train")
    done = program(*line, "--backends", "onnxruntime,torch_eager", "--json").check(0, "SYNTHETIC")
    told = json.loads(done.out)
    assert [data["file"] for data in told.pop("data")] == ["synthetic/test", "synthetic/train"]
    rows = {label: Scores.from_dict(row) for label, row in told.items()}
    assert len(rows) == 8
    tests = [scores for label, scores in rows.items() if label.endswith("test")]
    assert len(tests) == 4 and {scores.records for scores in tests} == {2900}
    assert len({(s.detection_rate, s.false_alarm_rate, s.confusion) for s in tests}) == 1
    assert all(s.detection_rate_unseen is not None for s in tests)


def test_scores_on_records_of_ones_own_say_which_file_they_are_of(
    program: Program, workshop: Workshop, tmp_path: Path
) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(workshop.csv.read_bytes().replace(b"neptune", b"slowloris"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    line = ("evaluate", workshop.artefact, "--records", path)
    program(*line).check(3, "'slowloris'", "--attack slowloris=CLASS")
    done = program(*line, "--attack", "slowloris=dos").check(0)
    assert f"2,900 records of {path}, SHA-256 {digest}" in done.out
    told = json.loads(program(*line, "--attack", "slowloris=dos", "--json").check(0).out)
    assert told["data"] == [{"file": str(path), "sha256": digest, "records": 2900}]
    program(*line, "--attack", "slowloris").check(2, "NAME=CLASS")


def test_calibrate_says_what_was_asked_beside_what_is_reached(
    program: Program, workshop: Workshop, tmp_path: Path
) -> None:
    line = ("calibrate", workshop.csv, "--artefact", workshop.artefact, "--false-alarm-rate")
    done = program(*line, "0.05", "--out", tmp_path / "mine.onnx").check(0)
    assert "asked 5.000%, reached" in done.out and "SHA-256" in done.out and "detected:" in done.out
    scores = json.loads(
        program("evaluate", tmp_path / "mine.onnx", "--records", workshop.csv, "--json").check(0).out
    )
    rate = scores["mine, onnxruntime, records.csv"]["false_alarm_rate"]
    assert f"reached {rate:.3%}" in done.out and rate <= 0.05
    program(*line, "1e-6").check(3, "Give 1,000,000 normal records")
    program(*line, "2").check(2, "between 0 and 1")
    program(*line, "0.1", "--out", workshop.artefact).check(2, "the artefact that is read")
    program(*line, "0.1", "--all-normal").check(0)


def test_a_folder_that_holds_nothing_of_the_data_set_is_refused(
    program: Program, workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "KDDTest+.txt").write_text("0,tcp\n", encoding="utf-8")
    monkeypatch.setenv("JUGGLER_DATA", str(full))  # which must not be looked in, for a folder was named
    for folder in (tmp_path / "none", tmp_path):
        line = ("evaluate", workshop.artefact, "--parts", "test-21", "--data", folder)
        done = program(*line).check(3, "find KDDTest-21.txt", "Name a folder or a zip that holds")
        assert "$JUGGLER_DATA" not in done.err and "cache" not in done.err
    line = ("evaluate", workshop.artefact, "--set", "synthetic", "--parts", "test", "--data", tmp_path)
    program(*line).check(2, "Leave --data out")
    line = ("train", "cifar10", "--data", tmp_path / "none", "--out", tmp_path / "run")
    program(*line).check(3, "find CIFAR-10")


@pytest.mark.parametrize("width", ["30", "80", "240"])
def test_tables_cut_no_digits(program: Program, workshop: Workshop, width: str) -> None:
    line = ("evaluate", workshop.artefact, "--set", "synthetic", "--parts", "test")
    whole = json.loads(program(*line, "--json").check(0).out)
    out = run(*line, env=environment(COLUMNS=width)).check(0).out
    (scores,) = (value for name, value in whole.items() if name != "data")
    assert "…" not in out
    for name in ("false_alarm_rate", "detection_rate", "accuracy_2class"):
        assert f"{100 * scores[name]:.2f}" in out
    for recall in scores["recall"].values():
        assert f"{100 * recall:.2f}" in out


def test_doctor_tells_the_state_of_every_backend(program: Program) -> None:
    found = {finding["part"]: finding for finding in json.loads(program("doctor", "--json").check(0).out)}
    for name, backend in BACKENDS:
        finding = found[f"backend {name}"]
        assert finding["works"] is backend.status().available
        assert finding["works"] or (finding["missing"] and finding["remedy"])
    for name, meter in METERS:
        finding = found[f"energy meter {name}"]
        assert finding["works"] is any(meter.status(device).available for device in ("cpu", "gpu"))
        assert finding["works"] or (finding["missing"] and finding["remedy"])
    assert found["data set synthetic"]["works"] is True
    assert (
        found["data set nsl_kdd"]["works"] is False and "JUGGLER_DATA" in found["data set nsl_kdd"]["remedy"]
    )
    table = program("doctor").check(0).out
    assert all(part in table for part in found)
    assert "pip install 'tensorrt-cu12>=10'" in table


@pytest.fixture
def small_shipped(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `juggler demo` open the workshop's small detector instead of the one that the package holds."""
    demo = importlib.import_module("juggler.cli.verbs.demo")
    monkeypatch.setattr(demo, "shipped", lambda name: workshop.checkpoint)


@pytest.mark.usefixtures("small_shipped")
def test_demo_without_data_says_so_loudly(program: Program, workshop: Workshop, elsewhere: Path) -> None:
    done = program("demo", "--backends", "onnxruntime, tensorrt", "--out", "here").check(0, "SYNTHETIC DATA")
    assert "SYNTHETIC DATA" in done.out, "on both outputs, for one of them may lead elsewhere"
    assert "tensorrt was not run" in done.out
    for name in ("detector.onnx", "alerts-SYNTHETIC.json", "report.html"):
        assert str(elsewhere / "here" / name) in done.out
        assert (elsewhere / "here" / name).stat().st_size > 0
    assert "SYNTHETIC DATA" in (elsewhere / "here" / "report.html").read_text(encoding="utf-8")
    program("demo", "--backends", "abacus").check(2, "onnxruntime")
    program("demo", "--out", workshop.csv, "--backends", "onnxruntime").check(2, "records.csv")
