"""Random inputs of the shapes and element types that a command names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from juggler.cli.examples import Shapes, Types
from juggler.errors import ConfigError
from juggler.runtime.sources.examples import is_graph, parse_shapes, parse_types, random_inputs


def test_each_input_has_a_shape_and_an_element_type():
    shapes = parse_shapes(["3,8,8", "12"])
    assert shapes == ((3, 8, 8), (12,))
    assert parse_shapes("3,8,8") == ((3, 8, 8),)
    assert parse_shapes(None) == ()
    picture, places = random_inputs(nn.Linear(2, 2), shapes, parse_types(["float16", "int64"], 2), batch=5)
    assert (picture.shape, picture.dtype) == ((5, 3, 8, 8), torch.float16)
    assert (places.shape, places.dtype) == ((5, 12), torch.int64)
    assert set(places.unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("kind", ["float64", "bfloat16", "complex64"])
def test_a_network_has_an_element_type_of_its_own(kind):
    network = nn.Linear(2, 2, dtype=getattr(torch, kind))
    (value,) = random_inputs(network, [(2,)], parse_types(None, 1))
    assert value.dtype == network.weight.dtype
    assert random_inputs(nn.ReLU(), [(2,)])[0].dtype == torch.float32
    assert random_inputs(network, [(2,)], ["bool"])[0].dtype == torch.bool


def test_one_type_stands_for_all_inputs_and_others_are_refused():
    assert parse_types(["int32"], 3) == ("int32",) * 3
    with pytest.raises(ConfigError, match="2 for 3 inputs"):
        parse_types(["int32", "int64"], 3)
    with pytest.raises(ConfigError, match="Choose from float32"):
        parse_types(["float"], 1)
    with pytest.raises(ConfigError, match="such as 3,224,224"):
        parse_shapes(["3x4"])


def test_verbs_ask_for_each_input_and_know_a_graph():
    assert all("once for each" in option.__metadata__[0].help for option in (Shapes, Types))
    assert is_graph("net.onnx") and not is_graph("nets:onnx")
