"""Parity: what a graph may differ from its module by, and what is compared exactly."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from juggler.errors import ConfigError, ParityError
from juggler.runtime.export import export
from juggler.runtime.modules import ends_of
from juggler.runtime.parity import check_parity
from juggler.runtime.precision import distance

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.25),
        ([1.0, INF, -INF], [1.5, INF, -INF], 0.5),
        ([1.0, INF], [1.0, -INF], INF),
        ([1.0, INF], [1.0, 3.0], INF),
        ([1.0, 3.0], [1.0, INF], INF),
        ([NAN, 1.0], [NAN, 1.0], NAN),
        ([1.0, 1.0], [NAN, 1.0], NAN),
        ([INF, 1.0], [NAN, 1.0], NAN),
        ([True, False], [True, False], 0.0),
        ([True, False], [True, True], INF),
        ([2**40, 1], [2**40, 1], 0.0),
        ([2**40, 1], [2**40 + 1, 1], INF),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([1.0, 2.0], [1.0], INF),
        ([1, 2], [1.0, 2.0], INF),
    ],
)
def test_the_distance_of_two_answers(reference: list[float], answer: list[float], expected: float) -> None:
    measured = distance([np.array(reference)], [np.array(answer)])
    assert measured == expected or (math.isnan(measured) and math.isnan(expected))


def test_an_output_is_not_hidden_by_a_larger_one() -> None:
    small, large = np.array([1.0]), np.array([1e9])
    assert distance([small, large], [small + 0.5, large]) == 0.5
    assert math.isnan(distance([large, small], [large * NAN, small]))
    assert distance([small], [small, large]) == INF


class Standardised(nn.Module):
    """Of numbers that are nearly equal float32 keeps few digits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 1e-3 + 100.0
        return (y - y.mean(1, keepdim=True)) / (y.var(1, keepdim=True) + 1e-12).sqrt()


def test_a_network_that_rounds_badly_is_no_false_alarm() -> None:
    torch.manual_seed(0)
    assert export(nn.Sequential(nn.Linear(64, 64), Standardised()).eval(), torch.randn(1, 64))


def test_a_graph_that_is_wrong_is_none_the_less_refused() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 64), Standardised()).eval()
    example = (torch.randn(1, 64),)
    model = onnx.load_from_string(export(module, example[0]))
    bias = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("bias"))
    bias.CopyFrom(
        onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.eye(64)[0].astype("f4"), bias.name)
    )
    specs = ends_of(module, example, module(*example)).inputs
    with pytest.raises(
        ParityError, match=r"from float64, beyond .* \(torch's own rounding .*, ONNX Runtime's"
    ):
        check_parity(module, example, specs, model.SerializeToString())


def test_the_limit_is_an_option() -> None:
    torch.manual_seed(0)
    module, example = nn.Sequential(nn.Linear(64, 64), nn.Softmax(1)).eval(), torch.randn(1, 64)
    for bad in (0.0, 1.0, NAN):
        with pytest.raises(ConfigError, match="parity_limit"):
            export(module, example, parity_limit=bad)
    assert export(module, example, parity_limit=0.5)
