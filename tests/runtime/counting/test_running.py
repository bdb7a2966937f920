"""One run of a file for what its shapes do not tell."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from juggler.reading.request import Request
from juggler.runtime.counting.running import Trial, inlined


def test_a_trial_gives_shapes_and_leaves_models_alone():
    make = helper.make_tensor_value_info
    inputs = [make("x", TensorProto.FLOAT16, [None, 3]), make("i", TensorProto.INT64, [None])]
    nodes = [helper.make_node("NonZero", ["i"], ["ones"]), helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", inputs, [make("y", TensorProto.FLOAT16, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    trial = Trial(model.SerializeToString(), Request("try", "do not"), inputs, [(2, 3), (50,)])
    shapes = trial.shapes(["ones", "y"])
    assert shapes["y"] == (2, 3)
    assert shapes["ones"][0] == 1 and 0 < shapes["ones"][1] < 50, "integers are 0 and 1"
    assert trial.with_branches(model) == (model, 0)
    assert inlined(model) is model


def test_a_file_that_does_not_run_gives_nothing():
    make = helper.make_tensor_value_info
    weight = numpy_helper.from_array(np.ones((5, 5), np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    ends = [make("x", 1, [None, 3])], [make("y", 1, None)]
    model = helper.make_model(helper.make_graph(nodes, "g", *ends, [weight]))
    trial = Trial(model.SerializeToString(), Request("try", "do not"), ends[0], [(2, 3)])
    assert trial.shapes(["y"]) == {}
