"""A predictor of a made-up device: it predicts networks, says what it does not know, and is one safe file."""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import fx, nn

import made_up_device as made_up
from juggler.errors import ArtefactError, ConfigError
from juggler.predict.extract.kernels import ExtractedKernels, NetworkKernel
from juggler.predict.graphs.random_networks import random_network
from juggler.predict.kernels.spec import KernelSpec
from juggler.predict.predictor.composition import Parts
from juggler.predict.predictor.intervals import Intervals
from juggler.predict.predictor.machine import differences, warning
from juggler.predict.predictor.prediction import LayerPrediction, doubt
from juggler.predict.predictor.predictor import NETWORK, Predictor
from juggler.predict.predictor.stand_ins import least_ms, stand_in
from juggler.runtime.tuning.flattening import flatten

UNSEEN = range(40, 52)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return made_up.predictor()[0]


def test_new_networks_are_predicted_and_covered(predictor: Predictor) -> None:
    readings = [made_up.reading(seed, 1) for seed in UNSEEN]
    found = [predictor.predict(own) for own in readings]
    truth = np.array([made_up.network_ms(own, predictor.as_run(own)) for own in readings])
    errors = np.abs(np.array([one.latency_ms for one in found]) / truth - 1.0)
    assert np.median(errors) < 0.15
    hits = sum(one.low_ms <= own <= one.high_ms for one, own in zip(found, truth, strict=True))
    assert hits >= 8  # of 12 at 90 %: fewer come by chance once in 250 times
    assert all(one.source == "predicted" and one.calibrated == 20 for one in found)


def test_layers_and_the_rest_add_up(predictor: Predictor) -> None:
    one = predictor.predict(made_up.reading(41, 1))
    layers = sum(layer.latency_ms for layer in one.layers)
    assert layers + one.fixed_ms + one.overhead_ms + one.uncovered_ms == pytest.approx(one.latency_ms)
    assert all(layer.low_ms < layer.latency_ms < layer.high_ms for layer in one.layers)
    assert type(one).from_json(one.to_json()) == one


def test_an_onnx_file_is_predicted_at_its_batches(predictor: Predictor, tmp_path: Path) -> None:
    drawn = random_network(41)
    path = tmp_path / "net.onnx"
    path.write_bytes(drawn.model)
    small, large = (predictor.predict(path, batch=batch) for batch in (1, 16))
    assert small.network == "net" and large.shape == (16, *drawn.shape)
    assert large.latency_ms > 2.0 * small.latency_ms


def test_what_is_outside_the_samples_is_flagged_and_what_is_unknown_listed(predictor: Predictor) -> None:
    huge = KernelSpec("conv", 1, 20_000, 8, 4, 4, kernel=(1, 1))
    strange = KernelSpec("softmax", 1, 10, 10)
    kernels = (NetworkKernel("a", "Conv", huge), NetworkKernel("b", "Softmax", strange))
    one = predictor.predict(
        ExtractedKernels("net", "onnxruntime", predictor.release, (1, 3, 4, 4), kernels, (), 0)
    )
    (layer,) = one.layers
    assert "in_channels" in layer.extrapolated and one.extrapolated == (layer,)
    assert [(missed.op, missed.count) for missed in one.uncovered] == [("Softmax", 1)]
    assert one.uncovered_ms > 0.0 and one.covered_share < 1.0
    assert any("outside the sampled range" in text for text in one.warnings)


def test_without_networks_the_kernels_bound_the_total(predictor: Predictor) -> None:
    bare = replace(predictor, networks=Intervals(0.9, {}, {}))
    one = bare.predict(made_up.reading(41, 1))
    rest = one.fixed_ms + one.overhead_ms + one.uncovered_ms
    shorter, longer = doubt(one.layers, one.uncovered_ms, one.latency_ms)
    assert one.low_ms == pytest.approx(shorter * (sum(layer.low_ms for layer in one.layers) + rest))
    assert one.high_ms == pytest.approx(longer * (sum(layer.high_ms for layer in one.layers) + rest))
    assert one.calibrated == 0 and any("not calibrated" in text for text in one.warnings)


def test_weights_are_cold_in_networks_that_do_not_fit_into_the_cache(predictor: Predictor) -> None:
    own = made_up.reading(42, 4)
    roomy, tight = (replace(predictor, cache_bytes=size) for size in (1 << 40, 1))
    assert not any(spec.cold for spec in roomy.as_run(own))
    cooled = [spec.family for spec in tight.as_run(own) if spec.cold]
    assert cooled and set(cooled) <= {"conv", "depthwise", "dense"}
    assert Parts.of(own, roomy.kernels_ms(roomy.as_run(own)), 1 << 40).cold_bytes == 0


def test_weights_that_have_just_left_the_cache_are_between_hot_and_cold(predictor: Predictor) -> None:
    own = made_up.reading(42, 4)
    touched = own.weight_bytes + own.largest_bytes
    hot, between, cold = (
        np.array(replace(predictor, cache_bytes=size).in_network_ms(own))
        for size in (touched, touched // 4, 1)
    )
    assert np.allclose(between, (hot + cold) / 2.0, rtol=0.01) and not np.allclose(hot, cold)


def test_budgets_are_kept_surely_likely_or_not(predictor: Predictor) -> None:
    one = predictor.predict(made_up.reading(41, 1))
    budgets = (one.high_ms, one.latency_ms, one.low_ms, 0.99 * one.low_ms)
    assert [one.within(ms) for ms in budgets] == ["surely", "likely", "unlikely", "no"]


def test_what_no_sample_tells_of_widens_the_interval_and_silences_the_verdict(predictor: Predictor) -> None:
    known = LayerPrediction("a", "Conv", "conv", 6.0, 5.0, 7.0)
    beyond = replace(known, latency_ms=2.0, extrapolated=("in_channels",))
    strange = replace(known, latency_ms=2.0, extrapolated=("family recurrent",))
    assert doubt([known], 0.0, 6.0) == (1.0, 1.0)
    assert doubt([known, beyond], 0.0, 8.0) == pytest.approx((7.0 / 8.0, 10.0 / 8.0))
    assert doubt([known, strange], 0.0, 8.0) == pytest.approx((6.5 / 8.0, 14.0 / 8.0))
    assert doubt([known], 2.0, 8.0) == pytest.approx((6.2 / 8.0, 26.0 / 8.0))
    answer = predictor.predict(made_up.reading(41, 1))
    grounded = replace(answer, layers=(known,), uncovered_ms=0.0, latency_ms=6.0)
    assert (grounded.ungrounded_share, grounded.within(1e3)) == (0.0, "surely")
    blind = replace(grounded, uncovered_ms=0.4)
    assert blind.ungrounded_share == pytest.approx(4.0 / 9.6) and blind.within(1e3) == "unknown"
    half = replace(grounded, layers=(known, strange), latency_ms=8.0)
    assert (half.ungrounded_share, half.within(1e3)) == (0.25, "surely")


def test_what_was_never_sampled_is_taken_for_what_does_as_much(predictor: Predictor) -> None:
    step = KernelSpec("dense", 2, 40 + 64, 4 * 64, kind="gemm", bias=True)
    (once, layer) = predictor.kernels_ms(
        [step, KernelSpec("recurrent", 2, 40, 64, 50, kind="lstm", bias=True)]
    )
    assert layer == pytest.approx(50 * once)
    image = {"batch": 1, "in_channels": 32, "out_channels": 32, "height": 14, "width": 14}
    floating, quantised = predictor.kernels_ms(
        [KernelSpec("conv", **image), KernelSpec("int8_conv", **image)]
    )
    assert quantised == pytest.approx(floating / 2.0)
    pool = KernelSpec("pool", 1, 192, 192, 28, 28, kernel=(3, 3), pads=(1, 1, 1, 1), kind="padded_average")
    assert stand_in(pool) is None and least_ms(pool, {"kind": ("max",)}) == pytest.approx(1.63, abs=0.01)
    assert least_ms(pool, {"kind": ("padded_average",)}) == 0.0


@pytest.fixture(scope="module")
def file(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return predictor.save(tmp_path_factory.mktemp("device") / "made-up.predictor")


def test_a_file_predicts_the_same(predictor: Predictor, file: Path) -> None:
    again = Predictor.load(file)
    own = made_up.reading(42, 4)
    assert again.predict(own) == predictor.predict(own)
    assert again.save(file.with_name("again.predictor")).read_bytes() == file.read_bytes()
    assert again.machine == made_up.MACHINE


def test_a_file_holds_no_pickle_and_is_small(file: Path) -> None:
    assert file.stat().st_size < 3 << 20
    with zipfile.ZipFile(file) as inside:
        assert set(inside.namelist()) == {"predictor.json", "arrays.npz"}
        assert json.loads(inside.read("predictor.json"))["kind"] == "juggler predictor"


def rewritten(file: Path, path: Path, **changes: object) -> Path:
    with zipfile.ZipFile(file) as inside, zipfile.ZipFile(path, "w") as out:
        fields = json.loads(inside.read("predictor.json")) | changes
        out.writestr("predictor.json", json.dumps(fields))
        out.writestr("arrays.npz", inside.read("arrays.npz"))
    return path


def test_damaged_files_are_told(file: Path, tmp_path: Path) -> None:
    content, bad = file.read_bytes(), tmp_path / "bad.predictor"
    for end in np.linspace(0, len(content) - 1, 25, dtype=int):
        bad.write_bytes(content[:end])
        with pytest.raises(ArtefactError):
            Predictor.load(bad)
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    for other in (bytes(flipped), b"text", pickle.dumps({"a": 1})):
        bad.write_bytes(other)
        with pytest.raises(ArtefactError):
            Predictor.load(bad)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 99}, "format 99"),
        ({"kind": "cake"}, "something else"),
        ({"models": {"conv": {}}}, "damaged"),
        ({"intervals": {"cake": 1}}, "cake"),
    ],
)
def test_other_formats_are_told(file: Path, tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(ArtefactError, match=words):
        Predictor.load(rewritten(file, tmp_path / "other.predictor", **changes))


def test_a_wrong_name_shows_near_ones(tmp_path: Path, file: Path) -> None:
    (tmp_path / "onnxruntime-xeon.predictor").write_bytes(file.read_bytes())
    assert Predictor.load("onnxruntime-xeon", devices=tmp_path).name == "made-up"
    with pytest.raises(ConfigError, match="Did you mean 'onnxruntime-xeon'"):
        Predictor.load("onnxruntime-xenon", devices=tmp_path)
    for name in ("../onnxruntime-xeon", "missing.predictor"):
        with pytest.raises(ArtefactError, match="no such file"):
            Predictor.load(name, devices=tmp_path)


def test_another_machine_is_told(predictor: Predictor) -> None:
    assert differences(predictor, made_up.MACHINE) == () and warning(predictor, made_up.MACHINE) == ""
    other = replace(made_up.MACHINE, cpu="Another", packages={"onnxruntime": "0.1"}, cores=0)
    assert len(differences(predictor, other)) == 3
    assert "Another, not A made-up CPU" in warning(predictor, other)
    assert warning(replace(predictor, corrected="recalibrated"), other) == ""


@pytest.mark.parametrize("node_ms", [0.0, 10.0])
def test_it_prices_forms_for_flatten(predictor: Predictor, node_ms: float) -> None:
    """Three convolutions through a narrow middle are one of more work: it is for the price to say."""
    torch.manual_seed(0)
    narrow = [nn.Conv2d(16, 4, 1, bias=False), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 16, 1)]
    model, example = nn.Sequential(*narrow, nn.ReLU()).eval(), torch.randn(2, 16, 12, 12)
    asked: dict[int, float] = {}
    price = replace(predictor, composition=replace(predictor.composition, node_ms=node_ms)).cost()

    def cost(module: fx.GraphModule, examples: tuple[torch.Tensor, ...]) -> float:
        convolutions = sum(isinstance(part, nn.Conv2d) for part in module.modules())
        asked[convolutions] = price(module, examples)
        return asked[convolutions]

    done = flatten(model, example, policy="model", cost=cost)
    assert len(asked) >= 2 and all(ms > 0.0 for ms in asked.values())
    left = sum(isinstance(part, nn.Conv2d) for part in done.model.modules())
    assert asked[left] <= 1.03 * min(asked.values())
    assert left == 1 or node_ms == 0.0  # where a node costs 10 ms, one of them is best whatever its work
    assert done.certificate.passed


def test_intervals_of_networks_are_wider_than_nothing(predictor: Predictor) -> None:
    assert 0.0 < predictor.networks.half_widths[NETWORK] < 1.0
