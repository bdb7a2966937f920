"""The structure of a graph at sizes that are free in its file."""

from __future__ import annotations

import onnx
import pytest

from juggler.errors import ConfigError
from juggler.runtime.onnx_graphs.structure import GraphStructure


@pytest.mark.parametrize("free", [-1, 0, "n"])
def test_a_free_size_is_written_in_three_ways(free):
    make = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [make("x", 1, [free, 3])], [make("y", 1, [free, 3])])
    structure = GraphStructure(onnx.helper.make_model(graph), "relu")
    assert structure.input_shape == (None, 3)
    sized = structure.sized((5, 3))
    assert [dim.dim_value for dim in sized.graph.output[0].type.tensor_type.shape.dim] == [5, 3]
    with pytest.raises(ConfigError, match="takes"):
        structure.sized((5, 4))
