"""Attributes of ONNX nodes as plain values; who makes and uses what; a repeated field replaced."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from juggler.runtime.onnx_graphs import editing
from juggler.runtime.onnx_graphs.editing import attributes_of


def small_graph():
    """Return x + w, doubled: an old file, which lists its weight among the inputs."""
    shapes = {"x": ["n", -1, 3], "w": [3]}
    return helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["s"]), helper.make_node("Add", ["s", "s"], ["y"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", -1, 3])],
        [numpy_helper.from_array(np.zeros(3, np.float32), "w")],
    )


def test_weights_makers_and_uses_are_by_name():
    graph = small_graph()
    assert list(editing.weights_of(graph)) == ["w"]
    assert {name: node.op_type for name, node in editing.makers_of(graph).items()} == {"s": "Add", "y": "Add"}
    assert editing.uses_of(graph) == {"x": 1, "w": 1, "s": 2, "y": 1}
    assert [value.name for value in editing.true_inputs(graph)] == ["x"]


def test_a_size_of_minus_one_is_free():
    assert editing.declared_shape(small_graph().input[0]) == (None, None, 3)


def test_nodes_are_replaced_in_place():
    graph = small_graph()
    editing.replace_all(graph.node, reversed(graph.node))
    assert [node.output[0] for node in graph.node] == ["y", "s"]


def test_attributes_are_plain_values():
    options = {"pads": [1, 1], "auto_pad": "NOTSET", "alpha": 0.5, "group": 2}
    assert attributes_of(onnx.helper.make_node("Conv", ["x", "w"], ["y"], **options)) == options


def test_a_text_that_is_no_utf_8_is_read_all_the_same():
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=b"\xff")
    assert attributes_of(node) == {"auto_pad": "\ufffd"}
