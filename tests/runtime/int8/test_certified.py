"""Int8 within a budget: proved on inputs held out, told in the metadata, refused where it is too far off."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from juggler.errors import ArtefactError, ConfigError, Refused
from juggler.nouns import Certificate, Check, Quantization
from juggler.runtime.artefact import Artefact, shipped
from juggler.runtime.export import export
from juggler.runtime.int8.certified import Budget, Quantized, quantize_certified, read_record
from juggler.runtime.int8.held_out import check_apart, in_pieces, share_out
from juggler.runtime.int8.quantization import quantize
from juggler.runtime.onnx_graphs.metadata import split
from juggler.runtime.open import open_session
from juggler.runtime.precision import classes_agreed, deviation
from juggler.runtime.session import Array

SHAPE = (2, 6, 5)
PROOF = Certificate(
    "a" * 64, "b" * 64, (Check("actual", "float64", (1,), 0.0, None, 0.0),), 0, 0, {"float64": 1e-12}, {}
)


def drawn(seed: int, rows: int = 32) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, *SHAPE), dtype=np.float32)


def network(*, spiked: int | None = None) -> nn.Module:
    """Make a network; `spiked` names a conv of which one weight is far larger than its channel's others."""
    torch.manual_seed(0)
    last = nn.Linear(6, 3)
    convs = [nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)]
    if spiked is not None:
        with torch.no_grad():
            convs[spiked].weight[:, 0, 0, 0] = 300.0 * convs[spiked].weight.abs().max()
            # What the spikes are multiplied with is all but zero.
            convs[spiked - 1].weight[0] *= 1e-4
            for conv in convs:
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)
    parts = [part for conv in convs for part in (conv, nn.ReLU())]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last).eval()


def graph_of(module: nn.Module, metadata: dict[str, str] | None = None) -> bytes:
    return export(module, torch.zeros(2, *SHAPE), metadata=metadata or {})


@pytest.fixture(scope="module")
def graph() -> bytes:
    return graph_of(network(), {"a.key": "its value"})


@pytest.fixture(scope="module")
def done(graph: bytes) -> Quantized:
    return quantize_certified(graph, drawn(1))


def test_the_record_holds_what_can_be_measured_again(graph: bytes, done: Quantized) -> None:
    record, inputs = done.record, drawn(1)
    held = inputs[3::4]
    assert (record.calibrated, record.checked) == (24, 8)
    assert (record.tool, record.backend) == ("onnxruntime", "onnxruntime")
    assert record.release == pytest.importorskip("onnxruntime").__version__
    assert record.source_sha256 == hashlib.sha256(split(graph)[0]).hexdigest()
    assert record.passed and record.spared == ()
    with open_session(graph) as exact, open_session(done.graph, precision="int8") as other:
        again = deviation(exact, other, held)
        agreed = classes_agreed(exact.run(held), other.run(held))
    assert record.signal_to_noise_db == pytest.approx(again.signal_to_noise_db, abs=1e-3)
    assert record.max_error == pytest.approx(again.max_error, rel=1e-3)
    assert (record.classes_agreed, record.classes_compared) == agreed == (8, 8)
    without = quantize(graph, inputs[np.arange(32) % 4 != 3])
    assert split(done.graph)[0] == split(without)[0]


def test_the_metadata_tell_and_the_rest_stays(graph: bytes, done: Quantized) -> None:
    metadata = split(done.graph)[1]
    assert {*metadata} == {"a.key", "juggler.int8"}
    assert read_record(done.graph) == done.record == Quantization.from_json(metadata["juggler.int8"])
    assert read_record(graph) is None
    assert done.certificate is None


@pytest.mark.parametrize("is_given", [False, True])
def test_a_certificate_takes_the_record_in(graph: bytes, is_given: bool) -> None:
    if is_given:
        done = quantize_certified(graph, drawn(1), certificate=PROOF)
    else:
        done = quantize_certified(graph_of(network(), {"juggler.certificate": PROOF.to_json()}), drawn(1))
    assert done.certificate == replace(PROOF, int8=done.record)
    assert Certificate.from_json(split(done.graph)[1]["juggler.certificate"]) == done.certificate
    assert done.certificate.passed
    assert not replace(done.certificate, int8=replace(done.record, least_db=99.0)).passed


def test_a_certificate_from_before_int8_is_read() -> None:
    old = {key: value for key, value in PROOF.to_dict().items() if key != "int8"}
    assert Certificate.from_dict(old) == PROOF


def test_a_whole_artefact_stays_one(tmp_path: Path) -> None:
    flat = Artefact.load(shipped("nsl_kdd.onnx"))
    inputs = np.random.default_rng(0).random((64, *flat.encoder.shape), dtype=np.float32)
    done = quantize_certified(flat, inputs, budget=Budget(10.0, 0.0))
    (tmp_path / "int8.onnx").write_bytes(done.graph)
    found = Artefact.load(tmp_path / "int8.onnx")
    assert found.fields.certificate == done.certificate
    assert found.describe()["certificate"]["int8"] == done.record.to_dict()
    assert (found.encoder.to_dict(), found.threshold) == (flat.encoder.to_dict(), flat.threshold)
    assert len(done.graph) < 0.5 * len(flat.graph)
    (tmp_path / "int8.onnx").write_bytes(done.graph[:-9] + bytes(9))
    with pytest.raises(ArtefactError):
        Artefact.load(tmp_path / "int8.onnx")


@pytest.mark.parametrize("tool", ["onnxruntime", "nncf"])
def test_a_result_that_is_too_far_off_is_refused_with_the_layer_to_blame(tool: str) -> None:
    spiked = graph_of(network(spiked=1))
    asked = {"tool": tool, "budget": Budget(20.0, 0.0)}
    with pytest.raises(Refused, match=r"dB of at least 20 dB") as caught:
        quantize_certified(spiked, drawn(1), **asked)  # type: ignore[arg-type]
    assert "the noisiest layers by themselves: /2/Conv (" in caught.value.found
    assert "float_layers=" in caught.value.remedy
    spared = quantize_certified(spiked, drawn(1), float_layers=2, **asked)  # type: ignore[arg-type]
    assert spared.record.spared == ("/2/Conv",)
    assert spared.record.passed


def test_no_try_begins_after_patience_is_over() -> None:
    with pytest.raises(Refused):
        quantize_certified(
            graph_of(network(spiked=1)), drawn(1), budget=Budget(20.0, 0.0), float_layers=2, patience_s=0.0
        )


def test_classes_count_too() -> None:
    """Of 300 classes drawn at random two are often nearly as likely: a little noise changes places."""
    torch.manual_seed(1)
    near = graph_of(nn.Sequential(nn.Flatten(), nn.Linear(60, 300), nn.ReLU(), nn.Linear(300, 300)).eval())
    with pytest.raises(Refused, match=r"classes kept of at least 100.0%"):
        quantize_certified(near, drawn(1, 512), budget=Budget(0.0, 1.0))
    done = quantize_certified(near, drawn(1, 512), budget=Budget(0.0, 0.5))
    assert 64 <= done.record.classes_agreed < done.record.classes_compared == 128


@pytest.mark.parametrize(
    "values", [{"least_db": np.nan}, {"least_agreement": 1.5}, {"least_agreement": -1.0}]
)
def test_budgets_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="budget"):
        Budget(**values)


def test_hostile_inputs_are_refused_by_name(graph: bytes, done: Quantized) -> None:
    with pytest.raises(ConfigError, match="no calibration inputs"):
        quantize_certified(graph, drawn(1, 0))
    with pytest.raises(ConfigError, match="1 inputs"):
        quantize_certified(graph, drawn(1, 1))
    with pytest.raises(ConfigError, match="NaN"):
        quantize_certified(graph, np.full((4, *SHAPE), np.nan, np.float32))
    with pytest.raises(ConfigError, match="shape"):
        quantize_certified(graph, drawn(1)[:, :1])
    with pytest.raises(ConfigError, match="quantised already"):
        quantize_certified(done.graph, drawn(1))
    with pytest.raises(ConfigError, match="those to work with"):
        quantize_certified(graph, drawn(1), drawn(1)[:4])
    with pytest.raises(ConfigError, match="shape"):
        quantize_certified(graph, drawn(1), drawn(1)[:4, :, :3])
    with pytest.raises(ConfigError, match="float_layers=-1"):
        quantize_certified(graph, drawn(1), float_layers=-1)
    with pytest.raises(ArtefactError, match="no such file"):
        quantize_certified("nowhere.onnx", drawn(1))


def test_a_network_that_answers_always_the_same_cannot_be_judged() -> None:
    module = network()
    assert isinstance(module[-1], nn.Linear)
    nn.init.zeros_(module[-1].weight)
    with pytest.raises(ConfigError, match="one answer to all 8 inputs"):
        quantize_certified(graph_of(module), drawn(1))


def test_a_fixed_batch_is_held_out_in_whole_batches(graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    fixed = model.SerializeToString()
    record = quantize_certified(fixed, drawn(1, 22)).record
    assert (record.calibrated, record.checked) == (16, 4)
    with pytest.raises(ConfigError, match="4 inputs, and the graph takes 4 at a time"):
        quantize_certified(fixed, drawn(1, 4))


@given(rows=st.integers(2, 40), batch=st.none() | st.integers(1, 5))
def test_no_row_makes_the_graph_and_checks_it(rows: int, batch: int | None) -> None:
    arrays = (np.arange(rows), np.arange(rows) * 2)
    if rows <= (batch or 1):
        with pytest.raises(ConfigError, match="Give more"):
            share_out(arrays, batch)
        return
    given_to, held = share_out(arrays, batch)
    assert sorted([*given_to[0], *held[0]]) == [*range(rows)]
    assert len(given_to[0]) > 0 < len(held[0])
    assert np.array_equal(held[1], 2 * held[0])
    assert {*given_to[0] // (batch or 1)}.isdisjoint(held[0] // (batch or 1))
    pieces = in_pieces(held, batch, 8)
    assert all(len(piece[0]) == batch for piece in pieces) or batch is None or len(held[0]) < batch
    check_apart(given_to, held)
    with pytest.raises(ConfigError):
        check_apart(arrays, held)


def test_outputs_that_are_no_classes_are_not_compared() -> None:
    scores, maps = drawn(1), drawn(2)
    assert classes_agreed((maps,), (maps,)) == (0, 0)
    assert classes_agreed((scores[:, :1, 0, 0],), (scores[:, :1, 0, 0],)) == (0, 0)
    one, other = np.eye(4, 3), np.eye(4, 3)
    other[1] = [9.0, 0.0, 0.0]
    assert classes_agreed((one, one), (one, one)) == (4, 4)
    assert classes_agreed((one, one), (one, other)) == (3, 4)
