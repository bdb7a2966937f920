"""The noise of each layer by itself: what its rounded twin differs by when the rest is exact."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from juggler.runtime.export import export
from juggler.runtime.int8.quantization import QUANTIZERS, prepare, quantize_prepared
from juggler.runtime.int8.sensitivity import layer_noise
from juggler.runtime.open import open_session
from juggler.runtime.precision import deviation
from juggler.runtime.session import Array

SHAPE = (3, 8, 8)
HERE = [name for name, tool in QUANTIZERS if tool.status().available]


def drawn(seed: int, rows: int = 16) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, *SHAPE), dtype=np.float32)


def prepared_of(module: nn.Module, rows: int = 16):
    return prepare(export(module.eval(), torch.zeros(2, *SHAPE)), drawn(1, rows))


@pytest.mark.parametrize("name", HERE)
def test_every_layer_is_ranked_noisiest_first(name: str) -> None:
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
    with torch.no_grad():
        parts[2].weight[:, 0, 0, 0] = 30.0  # type: ignore[index, union-attr, operator]
    prepared = prepared_of(nn.Sequential(*parts))
    int8 = onnx.load_from_string(quantize_prepared(prepared, QUANTIZERS.get(name)))
    found = layer_noise(prepared.model, int8, prepared.feeds)
    assert {layer.name for layer in found} == {"/0/Conv", "/2/Conv", "/5/Gemm"}
    noises = [layer.signal_to_noise_db for layer in found]
    assert noises == sorted(noises)
    assert all(0.0 < noise < 80.0 for noise in noises)


def test_the_noise_of_one_layer_is_that_of_the_whole_network() -> None:
    """With one conv and its output left in float32, the network's own noise is the layer's."""
    torch.manual_seed(0)
    prepared = prepared_of(nn.Sequential(nn.Flatten(), nn.Linear(192, 5)))
    int8 = quantize_prepared(prepared, QUANTIZERS.get("onnxruntime"))
    (layer,) = layer_noise(prepared.model, onnx.load_from_string(int8), prepared.feeds)
    with open_session(prepared.model.SerializeToString()) as exact, open_session(int8) as other:
        whole = deviation(exact, other, drawn(1)).signal_to_noise_db
    assert layer.signal_to_noise_db == pytest.approx(whole, abs=0.5)


def test_a_layer_that_is_spared_has_no_noise() -> None:
    torch.manual_seed(0)
    prepared = prepared_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)))
    int8 = quantize_prepared(prepared, QUANTIZERS.get("onnxruntime"), float_layers=["/0/Conv"])
    found = layer_noise(prepared.model, onnx.load_from_string(int8), prepared.feeds)
    assert [layer.name for layer in found] == ["/2/Conv"]
    assert layer_noise(prepared.model, prepared.model, prepared.feeds) == ()


def test_the_graphs_given_stay_as_they_are() -> None:
    prepared = prepared_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    int8 = onnx.load_from_string(quantize_prepared(prepared, QUANTIZERS.get("onnxruntime")))
    before = prepared.model.SerializeToString(), int8.SerializeToString()
    layer_noise(prepared.model, int8, prepared.feeds)
    assert (prepared.model.SerializeToString(), int8.SerializeToString()) == before
