"""Constants are folded as far as that makes no more of them than a network needs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from juggler.errors import ConfigError
from juggler.runtime.importers.onnx import IMPORTER
from juggler.runtime.onnx_graphs.constants import fold_constants


def model_of(nodes, weights):
    """Return a model of nodes that lead from `x` and constants to `y`."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def summed(*inputs, kind):
    """Return nodes that add the sum of what an op makes of constants to the input."""
    return [
        helper.make_node(kind, inputs, ["c"], name="it"),
        helper.make_node("ReduceSum", ["c"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]


ONE, TWO = np.float32([1]), np.array([1 << 20, 1 << 11])
BOMBS = {
    "ConstantOfShape": (("s",), {"s": TWO}),
    "Expand": (("o", "s"), {"o": ONE, "s": TWO}),
    "Tile": (("o", "s"), {"o": ONE, "s": np.array([1 << 31])}),
    "Range": (("u", "v", "w"), {"u": np.float32(0), "v": np.float32(1e9), "w": np.float32(1)}),
    "Pad": (("o", "s"), {"o": ONE, "s": np.array([0, 1 << 31])}),
    "Add": (("u", "v"), {"u": np.ones((1 << 13, 1), np.float32), "v": np.ones((1, 1 << 13), np.float32)}),
    "MatMul": (("u", "v"), {"u": np.ones((1 << 13, 1), np.float32), "v": np.ones((1, 1 << 13), np.float32)}),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_what_would_unfold_beyond_all_measure_is_refused_by_name(kind):
    inputs, weights = BOMBS[kind]
    content = model_of(summed(*inputs, kind=kind), weights).SerializeToString()
    with pytest.raises(ConfigError, match=rf"{kind} \(it\): it makes more numbers out of constants"):
        IMPORTER.load(content)


def test_what_is_small_is_folded():
    model = model_of(summed("o", "s", kind="Tile"), {"o": ONE, "s": np.array([5])})
    assert fold_constants(model) == frozenset()
    assert [node.op_type for node in model.graph.node] == ["Add"]


def test_many_copies_of_what_the_file_holds_are_counted_together():
    names = ["w", *(f"w{at}" for at in range(9))]
    nodes = [helper.make_node("Neg", [first], [second]) for first, second in itertools.pairwise(names)]
    nodes += [helper.make_node("ReduceSum", [names[-1]], ["r"]), helper.make_node("Add", ["x", "r"], ["y"])]
    assert fold_constants(model_of(nodes, {"w": np.ones(1 << 22, np.float32)})) != frozenset()


def test_a_constant_that_only_a_branch_reads_stays():
    branch = helper.make_graph(
        [helper.make_node("Add", ["x", "inner"], ["z"])],
        "branch",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 4])],
    )
    nodes = [helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)]
    model = model_of(nodes, {"inner": ONE, "unused": ONE, "flag": np.array(True)})
    fold_constants(model)
    assert {tensor.name for tensor in model.graph.initializer} == {"inner", "flag"}
