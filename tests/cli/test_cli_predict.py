"""`juggler predict` and `juggler compare` on a made-up device: tables, JSON, warnings, and what is amiss."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import made_up_device as made_up
from commands import Program
from juggler.predict.graphs.random_networks import random_network
from juggler.predict.predictor.prediction import Prediction


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(made_up.predictor()[0].save(tmp_path_factory.mktemp("d") / "made-up.predictor"))


@pytest.fixture
def nets(elsewhere: Path) -> tuple[str, str]:
    for name, seed in (("small.onnx", 44), ("large.onnx", 42)):
        (elsewhere / name).write_bytes(random_network(seed).model)
    return "small.onnx", "large.onnx"


def test_predict_tells_totals_kernels_and_the_other_machine(
    program: Program, device: str, nets: tuple[str, str]
) -> None:
    done = program("predict", nets[0], "--device", device, "--batch", "1,8").check(0)
    for words in ("Predicted latency", "made-up", "90%", "small at batch 1", "conv"):
        assert words in done.out, words
    assert "not the predictor's" in done.err and "A made-up CPU" in done.err and "--recalibrate" in done.err


def test_predict_prints_json_alone(program: Program, device: str, nets: tuple[str, str]) -> None:
    done = program("predict", *nets, "--device", device, "--json", "-").check(0)
    small, large = (Prediction.from_dict(one) for one in json.loads(done.out)["predictions"])
    assert (small.network, large.network) == ("small", "large")
    assert 0.0 < small.low_ms < small.latency_ms < small.high_ms and small.source == "predicted"
    own = made_up.predictor()[0].predict("small.onnx")
    assert own.latency_ms == pytest.approx(small.latency_ms)


def test_predict_takes_names_of_networks(program: Program, device: str, elsewhere: Path) -> None:
    done = program(
        "predict", "resnet18", "--device", device, "--shape", "3,32,32", "--json", "p.json", "--no-layers"
    ).check(0)
    (found,) = json.loads((elsewhere / "p.json").read_text(encoding="utf-8"))["predictions"]
    assert found["shape"] == [1, 3, 32, 32] and len(found["layers"]) >= 20
    assert "p.json" in done.out and "at batch 1 on" not in done.out


def test_a_network_that_cannot_be_opened_is_told_before_anything_is_measured(
    program: Program, device: str, nets: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[object] = []
    monkeypatch.setattr("juggler.predict.fit.recalibrate.recalibrate", lambda *a, **k: measured.append(a))
    program("predict", nets[0], "lenet6", "--device", device, "--recalibrate").check(2, "lenet6")
    assert not measured


def test_compare_ranks_against_a_budget(
    program: Program, device: str, nets: tuple[str, str], elsewhere: Path
) -> None:
    fast = replace(made_up.predictor()[0], name="twice", fitted_at="later")
    fast = replace(fast, models={f: replace(m, scale=0.5) for f, m in fast.models.items()})
    fast.save(elsewhere / "twice.predictor")
    line = ("compare", *nets, "--device", device, "--device", "twice.predictor", "--json", "all.json")
    middle = made_up.predictor()[0].predict(nets[0]).latency_ms
    done = program(*line, "--budget-ms", str(middle * 1.001)).check(0)
    found = json.loads((elsewhere / "all.json").read_text(encoding="utf-8"))
    assert len(found["predictions"]) == 4 and found["in_budget"][0] == "likely"
    assert set(found["in_budget"]) >= {"likely", "no"}
    assert "Ranked" in done.out and "likely" in done.out


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--device", "xeon"), 2, "juggler campaign"),
        (("--device", "missing.predictor"), 4, "no such file"),
        (("--device", "small.onnx"), 4, "no zip archive"),
        (("--batch", "0"), 2, "from 1 up"),
        (("--batch", "many"), 2, "1,8,64"),
        (("--shape", "1,2,3"), 2, "1, 1, 2, 3"),
    ],
)
@pytest.mark.usefixtures("nets")
def test_what_is_amiss_is_told(
    program: Program, device: str, options: tuple[str, ...], code: int, words: str
) -> None:
    given = options if "--device" in options else (*options, "--device", device)
    program("predict", "small.onnx", *given).check(code, words)


def test_a_budget_is_above_0(program: Program, device: str, nets: tuple[str, str]) -> None:
    program("compare", nets[0], "--device", device, "--budget-ms", "0").check(2, "budget")
