"""The predictors that ship: small, of a machine that is told, and of use for networks at hand."""

from __future__ import annotations

from importlib.resources import files

import pytest
import torch
from torch import nn

from juggler.errors import ConfigError
from juggler.predict.predictor.archive import shipped
from juggler.predict.predictor.predictor import Predictor
from juggler.runtime.export import draft

DEVICE = "xeon-onnxruntime"


@pytest.fixture(scope="module")
def network() -> bytes:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU()]
    ends = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return draft(nn.Sequential(*layers, *ends).eval(), torch.randn(1, 3, 64, 64))


def test_one_of_an_x86_server_ships() -> None:
    assert DEVICE in shipped()
    with pytest.raises(ConfigError, match=f"Did you mean '{DEVICE}'"):
        Predictor.load("xeon-onnxruntim")


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_predictor_is_small_and_says_where_it_is_from(name: str) -> None:
    file = files("juggler.predict") / "devices" / f"{name}.predictor"
    assert len(file.read_bytes()) < 6 << 20
    own = Predictor.load(name)
    assert own.name == name
    assert own.machine.cpu and own.machine.packages[own.backend] == own.release
    assert {"conv", "pool", "dense"} <= set(own.models)
    report = own.report
    assert report["samples"] <= 3_000 and report["floors"] and report["networks"]["scores"]["n"] >= 100


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_predictor_answers(name: str, network: bytes) -> None:
    own = Predictor.load(name)
    found = [own.predict(network, batch=batch, name="small") for batch in (1, 8, 64)]
    latencies = [one.latency_ms for one in found]
    assert latencies == sorted(latencies) and latencies[2] > 20.0 * latencies[0]
    assert all(one.low_ms < one.latency_ms < one.high_ms for one in found)
    assert all(not one.uncovered and one.calibrated >= 100 for one in found)
