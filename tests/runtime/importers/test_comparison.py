"""An import is held against its file: what differs is refused, and the certificate says what was compared."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import juggler
from juggler.errors import ConfigError, Refused
from juggler.nouns import Certificate
from juggler.runtime.importers import _comparison as comparison
from juggler.runtime.importers import _onnx_ops
from juggler.runtime.importers.onnx import IMPORTER
from juggler.runtime.sources.named import open_with_example

CONV = numpy_helper.from_array(np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32), "w")


def model(
    nodes, *, shape=("n", 3, None, None), weights=(CONV,), dtype=TensorProto.FLOAT, out=TensorProto.FLOAT
):
    """Return the bytes of a graph from `x` to `y`."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", out, [None] * len(shape))],
        list(weights),
    )
    opsets = [helper.make_opsetid("", 19)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def conv(source="x", result="c"):
    return helper.make_node("Conv", [source, "w"], [result], pads=[1, 1, 1, 1])


def resize(*, sizes=None, scales=None, **attributes):
    """Return the bytes of a convolution with a Resize behind it."""
    name, values = ("sizes", np.array(sizes, np.int64)) if sizes else ("scales", np.array(scales, np.float32))
    given = numpy_helper.from_array(values, name)
    inputs = ["c", "", "", name] if sizes else ["c", "", name]
    nodes = [conv(), helper.make_node("Resize", inputs, ["y"], **attributes)]
    shape = (1, 3, 13, 22) if sizes else ("n", 3, None, None)
    return model(nodes, shape=shape, weights=(CONV, given))


@pytest.mark.parametrize(
    "content",
    [
        resize(scales=[1, 1, 0.5, 0.5], mode="linear", antialias=1, exclude_outside=1),
        resize(scales=[1, 1, 0.5, 0.5], mode="linear"),
        resize(scales=[1, 1, 3, 2], mode="cubic"),
        resize(sizes=[1, 4, 30, 30], mode="linear"),
        resize(sizes=[1, 4, 30, 30], mode="linear", coordinate_transformation_mode="pytorch_half_pixel"),
        resize(sizes=[1, 4, 7, 9], mode="linear", coordinate_transformation_mode="align_corners"),
        resize(
            sizes=[1, 4, 26, 44],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
    ],
    ids=["antialias", "half", "cubic", "odd sizes", "old torch", "corners", "whole factors"],
)
def test_every_form_of_resize_is_the_files(content):
    network = IMPORTER.load(content)
    checks = comparison.source_checks(network)
    assert len(checks) == (1 if b"sizes" in content else 2)
    assert all(check.passed and check.shapes for check in checks)


CROP, WAYS = "tf_crop_and_resize", ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
FORMS = [
    *(
        {"mode": "linear", "coordinate_transformation_mode": how}
        for how in ("asymmetric", "half_pixel_symmetric")
    ),
    {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    {"mode": "cubic", "cubic_coeff_a": -0.5},
    {"mode": "cubic", "exclude_outside": 1},
    {"mode": "cubic", "antialias": 1},
    {"mode": "linear", "antialias": 1, "exclude_outside": 1},
    {"mode": "linear", "antialias": 1},
    {"mode": "linear", "coordinate_transformation_mode": CROP, "extrapolation_value": 3.0},
    *({"mode": "nearest", "nearest_mode": way} for way in WAYS),
    {"mode": "nearest", "coordinate_transformation_mode": "align_corners"},
    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: " ".join(map(str, form.values())))
def test_every_form_of_resize_is_onnx_runtimes_at_many_sizes(form):
    """Forty sizes and factors a form, in one file: outputs are compared by the import itself."""
    random = np.random.default_rng(0)
    nodes, weights, outputs = [], [numpy_helper.from_array(np.float32([0, 0.1, 1, 0.8]), "part")], []
    for at in range(40):
        old, new = (int(side) for side in random.integers(1, 30, 2))
        factor = float(random.choice([0.5, 2, 3, 1.5, 0.7, 2.3]))
        is_sized = bool(at % 2) or int(old * factor) < 1
        weights.append(
            numpy_helper.from_array(np.array([2, new], np.int64), f"given{at}")
            if is_sized
            else numpy_helper.from_array(np.array([1, factor], np.float32), f"given{at}")
        )
        weights.append(numpy_helper.from_array(np.arange(old), f"columns{at}"))
        part = "part" if form.get("coordinate_transformation_mode") == CROP else ""
        inputs = [f"cut{at}", part, *(["", f"given{at}"] if is_sized else [f"given{at}"])]
        nodes.append(helper.make_node("Gather", ["x", f"columns{at}"], [f"cut{at}"], axis=3))
        nodes.append(helper.make_node("Resize", inputs, [f"y{at}"], axes=[2, 3], **form))
        outputs.append(helper.make_tensor_value_info(f"y{at}", TensorProto.FLOAT, [None] * 4))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 2, 30])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    checks = comparison.source_checks(IMPORTER.load(content.SerializeToString()))
    assert all(check.passed for check in checks)


def test_a_resize_may_keep_the_ratio_of_sides():
    for policy in ("not_larger", "not_smaller"):
        content = resize(sizes=[20, 30], mode="linear", axes=[2, 3], keep_aspect_ratio_policy=policy)
        assert all(check.passed for check in comparison.source_checks(IMPORTER.load(content)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (resize(scales=[1, 1, 1.5, 2], mode="cubic", cubic_coeff_a=-0.5), "a size is free"),
        (resize(sizes=[1, 4, 0, 3], mode="linear"), "makes nothing"),
    ],
)
def test_a_resize_that_has_no_equal_is_refused_by_name(content, reason):
    with pytest.raises(ConfigError, match=f"Resize.*{reason}"):
        IMPORTER.load(content)


def test_an_op_that_is_read_as_another_is_refused(monkeypatch):
    content = model([conv(), helper.make_node("Relu", ["c"], ["y"])])
    monkeypatch.setitem(_onnx_ops.HANDLES, "Relu", lambda build, op: build.module(op, nn.LeakyReLU(0.01)))
    with pytest.raises(Refused, match=r"differs from the file in ONNX Runtime by .* beyond 1e-05"):
        IMPORTER.load(content)


def test_the_examples_own_size_is_compared_too(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(model([conv(), helper.make_node("Relu", ["c"], ["y"])]))
    network, _ = open_with_example(str(path), (3, 21, 40))
    shapes = [check.shapes for check in comparison.source_checks(network)]
    assert ((1, 3, 21, 40),) in shapes
    assert len(shapes) == 3


def test_the_certificate_says_what_was_compared_and_survives_json():
    content = model([conv(), helper.make_node("Relu", ["c"], ["y"])])
    network = IMPORTER.load(content)
    certificate = juggler.flatten(network, torch.randn(1, 3, 20, 20)).certificate
    assert certificate.passed
    assert [len(check.shapes) for check in certificate.source] == [1, 1]
    assert Certificate.from_json(certificate.to_json()) == certificate


def test_a_network_that_was_changed_since_claims_nothing():
    network = IMPORTER.load(model([conv(), helper.make_node("Relu", ["c"], ["y"])]))
    with torch.no_grad():
        next(network.parameters()).mul_(2)
    assert comparison.source_checks(network) == ()


def test_a_file_that_onnx_runtime_cannot_run_has_no_passing_certificate(monkeypatch):
    monkeypatch.setattr(comparison, "SIDES", ())
    network = IMPORTER.load(model([conv(), helper.make_node("Relu", ["c"], ["y"])]))
    certificate = juggler.flatten(network, torch.randn(1, 3, 20, 20)).certificate
    assert not certificate.passed
    assert "ONNX Runtime cannot run the file" in certificate.source[0].reason


def test_two_inputs_are_compared_at_each_size(monkeypatch):
    """Numbers of both signs, then such as pictures hold; a batch of 2 is two inputs by itself."""
    seen = []
    compare = comparison._compare

    def note(network, arrays, *rest):
        seen.append(arrays)
        return compare(network, arrays, *rest)

    monkeypatch.setattr(comparison, "_compare", note)
    IMPORTER.load(model([conv(), helper.make_node("Relu", ["c"], ["y"])]))
    assert [arrays[0].shape[0] for arrays in seen] == [1, 1, 2]
    assert [bool((arrays[0] < 0).any()) for arrays in seen] == [True, False, True]
    assert len({arrays[0].shape[2:] for arrays in seen}) == 2


def test_half_precision_is_held_to_what_it_can_hold():
    weights = [numpy_helper.from_array(numpy_helper.to_array(CONV).astype(np.float16), "w")]
    cast = helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16)
    back = helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT)
    network = IMPORTER.load(model([cast, conv("h"), back], weights=weights))
    assert all(check.passed and check.limit < 0.01 for check in comparison.source_checks(network))


def test_truth_values_are_compared_exactly():
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Greater", ["r", "zero"], ["y"])]
    zero = numpy_helper.from_array(np.zeros((), np.float32), "zero")
    content = model(nodes, shape=("n", 3), weights=(zero,), out=TensorProto.BOOL)
    assert all(check.error == 0 for check in comparison.source_checks(IMPORTER.load(content)))


@pytest.mark.parametrize(
    ("reference", "other", "distance"),
    [
        ([1.0, math.inf], [1.0, math.inf], 0.0),
        ([1.0, math.inf], [1.0, -math.inf], math.inf),
        ([1.0, math.nan], [1.0, math.nan], 0.0),
        ([1.0, math.nan], [1.0, 0.0], math.inf),
        ([2.0, 1.0], [2.0, 1.5], 0.25),
        ([], [], 0.0),
    ],
)
def test_infinities_and_nan_stand_where_they_stood(reference, other, distance):
    pair = (np.array(reference, np.float32), np.array(other, np.float32))
    assert comparison._distance([pair[0]], [pair[1]]) == distance


def test_integers_are_equal_or_not():
    assert comparison._distance([np.array([1, 2])], [np.array([1, 2])]) == 0.0
    assert comparison._distance([np.array([1, 2])], [np.array([1, 3])]) == math.inf
    assert comparison._distance([np.array([True])], [np.array([1.0])]) == math.inf
    assert comparison._distance([np.zeros(2)], [np.zeros(3)]) == math.inf


def test_a_network_that_rounds_badly_is_held_to_its_own_rounding():
    # x - mean(x) of numbers near 1e4, divided by its spread: float32 leaves three digits.
    big = numpy_helper.from_array(np.full((), 1e4, np.float32), "big")
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    nodes = [
        helper.make_node("Add", ["x", "big"], ["a"]),
        helper.make_node("ReduceMean", ["a", "axes"], ["m"], keepdims=1),
        helper.make_node("Sub", ["a", "m"], ["y"]),
    ]
    network = IMPORTER.load(model(nodes, shape=("n", 64), weights=(big, axes)))
    assert all(check.passed for check in comparison.source_checks(network))


def test_all_of_it_is_a_valid_model():
    onnx.checker.check_model(onnx.load_from_string(resize(scales=[1, 1, 2, 2], mode="linear")))
