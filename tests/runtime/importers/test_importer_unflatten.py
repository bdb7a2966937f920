"""A vector laid out as an image behind a free batch: exporters write it as slices of the shape."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from juggler.runtime import IMPORTERS
from juggler.runtime.export import export


def test_unflatten_comes_back_and_keeps_the_batch_free():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 24), nn.Unflatten(1, (2, 3, 4)), nn.Conv2d(2, 3, 3)
    ).eval()
    graph = export(network, torch.randn(2, 1, 2, 3))
    kinds = {node.op_type for node in onnx.load_from_string(graph).graph.node}
    assert "Slice" in kinds, "the exporter has changed: this test no longer shows anything"
    found = IMPORTERS.get("onnx").load(graph)
    for batch in (1, 2, 7):
        x = torch.randn(batch, 1, 2, 3)
        torch.testing.assert_close(found(x), network(x))


def test_a_backward_slice_of_values_runs_as_in_the_file():
    nodes = [helper.make_node("Slice", ["input", "three", "zero", "one", "back"], ["output"])]
    numbers = {"zero": 0, "one": 1, "three": 3, "back": -1}
    graph = helper.make_graph(
        nodes,
        "slice",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.array([value]), name) for name, value in numbers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    network = IMPORTERS.get("onnx").load(model.SerializeToString())
    torch.testing.assert_close(network(torch.tensor([[1.0, 2.0, 3.0, 4.0]])), torch.tensor([[4.0, 3.0, 2.0]]))
