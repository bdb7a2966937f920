"""Recurrent layers and branches come in as walls: they run as in the file, and the rest is rewritten."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import juggler
from juggler.errors import ConfigError
from juggler.runtime.importers import _comparison as comparison
from juggler.runtime.importers.onnx import IMPORTER

STEPS, BATCH, WIDTH, HIDDEN = 5, 3, 4, 6
GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}


def recurrent(kind: str, direction: str = "forward", *, states: bool = False, **attributes: object) -> bytes:
    """Return a file with one recurrent layer, its outputs flattened behind each other."""
    random = np.random.default_rng(0)
    both, gates = 2 if direction == "bidirectional" else 1, GATES[kind] * HIDDEN
    sizes = {"w": (both, gates, WIDTH), "r": (both, gates, HIDDEN), "b": (both, 2 * gates)}
    sizes |= {"h": (both, BATCH, HIDDEN), "c": (both, BATCH, HIDDEN)}
    weights = [
        numpy_helper.from_array(random.normal(size=size).astype(np.float32) / 3, name)
        for name, size in sizes.items()
    ]
    first = ["h", *(["c"] if kind == "LSTM" else [])] if states else []
    outputs = ["y", "yh", *(["yc"] if kind == "LSTM" else [])]
    options = {"hidden_size": HIDDEN, "direction": direction, **attributes}
    nodes = [helper.make_node(kind, ["x", "w", "r", "b", "", *first], outputs, **options)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * (4 if name == "y" else 3))
        for name in outputs
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [STEPS, BATCH, WIDTH])]
    graph = helper.make_graph(nodes, "g", inputs, ends, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("direction", ["forward", "bidirectional", "reverse"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_run_as_in_the_file(kind, direction, states):
    options = {"linear_before_reset": 1} if kind == "GRU" else {}
    checks = comparison.source_checks(IMPORTER.load(recurrent(kind, direction, states=states, **options)))
    assert checks
    assert all(check.passed for check in checks)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (recurrent("GRU"), "resets before it multiplies"),
        (recurrent("LSTM", clip=1.0), "clipped"),
        (recurrent("RNN", activations=["Relu"]), "activations"),
        (recurrent("LSTM", input_forget=1), "peepholes"),
    ],
)
def test_recurrent_layers_that_torch_has_not_are_refused_by_name(content, reason):
    with pytest.raises(ConfigError, match=f"{reason}"):
        IMPORTER.load(content)


def test_the_rest_of_a_network_is_rewritten_around_a_recurrent_layer():
    random = np.random.default_rng(1)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.normal(size=shape).astype(np.float32) / 3, name)

    norm = [numpy_helper.from_array(random.random(8).astype(np.float32) + 0.5, name) for name in "sbmv"]
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", *"sbmv"], ["n"]),
        helper.make_node("ReduceMean", ["n"], ["rows"], axes=[2], keepdims=0),
        helper.make_node("Transpose", ["rows"], ["steps"], perm=[2, 0, 1]),
        helper.make_node("LSTM", ["steps", "w", "r"], ["", "last", ""], hidden_size=5),
        helper.make_node("Squeeze", ["last", "zero"], ["y"]),
    ]
    zero = numpy_helper.from_array(np.array([0]), "zero")
    weights = [weight("k", 8, 3, 3, 3), weight("w", 1, 20, 8), weight("r", 1, 20, 5), *norm, zero]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 6, 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    flat = juggler.flatten(IMPORTER.load(model.SerializeToString()), torch.randn(1, 3, 6, 7))
    assert flat.rewrites
    assert flat.certificate.passed


def branching(condition: str) -> bytes:
    """Return a file that takes off an axis where it is of size 1, as torch's exporter writes `squeeze`."""
    branches = {
        "then_branch": [helper.make_node("Squeeze", ["x", "one"], ["thin"])],
        "else_branch": [helper.make_node("Identity", ["x"], ["thick"])],
    }
    graphs = {
        name: helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info(nodes[0].output[0], TensorProto.FLOAT, None)]
        )
        for name, nodes in branches.items()
    }
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["size"]),
        helper.make_node("Equal", ["size", "one"], ["is_one"]),
        helper.make_node("If", [condition], ["taken"], name="it", **graphs),
        helper.make_node("Relu", ["taken"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 1, 4])]
    if condition == "free":
        inputs.append(helper.make_tensor_value_info("free", TensorProto.BOOL, [1]))
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 2)],
        [numpy_helper.from_array(np.array([1]), "one")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def test_a_branch_that_sizes_decide_is_the_only_one():
    network = IMPORTER.load(branching("is_one"))
    assert network(torch.ones(2, 1, 4)).shape == (2, 4)
    assert all(check.passed for check in comparison.source_checks(network))


def test_a_branch_that_values_decide_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"If \(it\): no handle"):
        IMPORTER.load(branching("free"))
