"""Skips taken out of kernels: the same function with smaller weights, and nothing else touched."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from juggler.runtime.export import export
from juggler.runtime.int8.quantization import quantize
from juggler.runtime.int8.skips import split_skips
from juggler.runtime.open import open_session
from juggler.runtime.precision import deviation


def flat(conv: nn.Conv2d, *, identity: float = 1.0) -> nn.Conv2d:
    """Give a conv small weights and an identity in its centre, as a flat network's kernels have them."""
    torch.manual_seed(3)
    with torch.no_grad():
        conv.weight.normal_(0.0, 0.02)
        for channel in range(min(conv.out_channels, conv.weight.shape[1])):
            conv.weight[channel, channel, conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] += identity
    return conv


def model_of(conv: nn.Conv2d) -> tuple[onnx.ModelProto, torch.Tensor]:
    image = torch.randn(2, conv.in_channels, 9, 8, generator=torch.Generator().manual_seed(1))
    module = nn.Sequential(conv, nn.ReLU()).eval()
    return onnx.load_from_string(export(module, image)), image


@pytest.mark.parametrize("options", [{}, {"dilation": 2, "padding": 2}, {"bias": False}])
def test_the_function_stays_and_the_weights_shrink(options: dict[str, int]) -> None:
    model, image = model_of(flat(nn.Conv2d(6, 6, 3, **{"padding": 1, **options})))  # type: ignore[arg-type]
    before = model.SerializeToString()
    assert split_skips(model) == 1
    onnx.checker.check_model(model, full_check=True)
    assert sorted(node.op_type for node in model.graph.node) == ["Add", "Conv", "Relu"]
    largest = max(
        np.abs(onnx.numpy_helper.to_array(t)).max() for t in model.graph.initializer if len(t.dims) == 4
    )
    assert largest < 0.2
    with open_session(before) as one, open_session(model.SerializeToString()) as other:
        assert deviation(one, other, image.numpy()).max_error < 1e-6
    assert split_skips(model) == 0


@pytest.mark.parametrize(
    "conv",
    [
        flat(nn.Conv2d(6, 6, 3, padding=1), identity=0.0),
        flat(nn.Conv2d(6, 6, 3, padding=1), identity=-1.0),
        flat(nn.Conv2d(6, 6, 3, padding=1, stride=2)),
        flat(nn.Conv2d(6, 6, 3)),
        flat(nn.Conv2d(6, 6, 3, padding=1, groups=2)),
        flat(nn.Conv2d(6, 6, 2, padding=1)),
        flat(nn.Conv2d(6, 4, 3, padding=1)),
    ],
)
def test_convs_without_a_skip_to_take_out_are_left(conv: nn.Conv2d) -> None:
    model, _ = model_of(conv)
    before = model.SerializeToString()
    assert split_skips(model) == 0
    assert model.SerializeToString() == before


def test_weights_that_two_convs_share_are_left() -> None:
    conv = flat(nn.Conv2d(6, 6, 3, padding=1))
    image = torch.zeros(2, 6, 9, 8)
    model = onnx.load_from_string(export(nn.Sequential(conv, nn.ReLU(), conv).eval(), image))
    assert len({node.input[1] for node in model.graph.node if node.op_type == "Conv"}) == 1
    assert split_skips(model) == 0


def test_int8_is_nearer_to_float32_without_the_skip_in_the_kernel() -> None:
    torch.manual_seed(0)
    parts = [part for _ in range(3) for part in (flat(nn.Conv2d(8, 8, 3, padding=1)), nn.ReLU())]
    graph = export(nn.Sequential(*parts).eval(), torch.zeros(2, 8, 9, 8))
    images = np.random.default_rng(0).standard_normal((64, 8, 9, 8), dtype=np.float32)
    noises = []
    for keep in (True, False):
        int8 = quantize(graph, images[:48], keep_skips_in_kernels=keep)
        with open_session(graph) as one, open_session(int8) as other:
            noises.append(deviation(one, other, images[48:]).signal_to_noise_db)
    assert noises[0] is not None and noises[1] is not None
    assert noises[1] > noises[0] + 3.0
