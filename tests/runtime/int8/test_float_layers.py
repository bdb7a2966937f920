"""Layers left in float32 stay so on every runtime; the guard that sees to it changes no value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from juggler.runtime.export import export
from juggler.runtime.int8.float_layers import exact_parts, guard_float_layers
from juggler.runtime.int8.quantization import QUANTIZERS, prepare, quantize, quantize_prepared
from juggler.runtime.open import open_session
from juggler.runtime.precision import deviation
from juggler.runtime.session import Array

SHAPE = (4, 7, 6)
FINITE = st.floats(-(2.0**100), 2.0**100, width=32).filter(lambda x: x == 0.0 or abs(x) > 2.0**-100)


def drawn(seed: int, rows: int = 24) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, *SHAPE), dtype=np.float32)


def spiked(layer: nn.Module, *, place: int) -> bytes:
    """Put a layer between convs whose largest weights are for a feature that is all but zero."""
    torch.manual_seed(0)
    first = nn.Conv2d(4, 4, 3, padding=1)
    with torch.no_grad():
        first.weight[0] *= 1e-4
        nn.init.zeros_(first.bias)  # type: ignore[arg-type]
        layer.weight.select(place, 0).fill_(30.0)  # type: ignore[operator, union-attr]
    parts = [first, nn.ReLU(), layer, nn.ReLU(), nn.Conv2d(4, 4, 3)]
    return export(nn.Sequential(*parts).eval(), torch.zeros(2, *SHAPE))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_a_layer_left_in_float32_is_exact_on_every_runtime(backend: str, bias: bool, kind: str) -> None:
    if kind == "Conv":
        graph = spiked(nn.Conv2d(4, 4, 3, padding=1, bias=bias), place=1)
    else:
        graph = spiked(nn.ConvTranspose2d(4, 4, 3, padding=1, bias=bias), place=0)
    name = f"/2/{kind}"
    kept = quantize(graph, drawn(1), float_layers=[name])
    with open_session(graph, backend) as exact, open_session(kept, backend, precision="int8") as other:
        noise_db = deviation(exact, other, drawn(2)).signal_to_noise_db
    assert noise_db is not None and noise_db > 25.0


def test_the_argument_s_name_of_the_last_release_still_works() -> None:
    graph = spiked(nn.Conv2d(4, 4, 3, padding=1), place=1)
    with pytest.warns(DeprecationWarning, match="spare of quantize is now float_layers"):
        old = quantize(graph, drawn(1), spare=["/2/Conv"])  # type: ignore[call-arg]
    assert old == quantize(graph, drawn(1), float_layers=["/2/Conv"])


def test_a_quantizer_of_the_last_release_still_works() -> None:
    tool = QUANTIZERS.get("onnxruntime")

    class Old:
        name, backend, status = "old", tool.backend, tool.status

        def quantize(self, model: Any, feeds: Any, *, spare: Sequence[str], reduce_range: bool) -> Any:
            return tool.quantize(model, feeds, float_layers=spare, reduce_range=reduce_range)

    prepared = prepare(spiked(nn.Conv2d(4, 4, 3, padding=1), place=1), drawn(1))
    with pytest.warns(DeprecationWarning, match="spare of the quantizer old"):
        graph = quantize_prepared(prepared, Old(), float_layers=["/2/Conv"])  # type: ignore[arg-type]
    assert graph == quantize_prepared(prepared, tool, float_layers=["/2/Conv"])


def test_the_guard_changes_no_value_and_nothing_but_the_layer() -> None:
    graph = prepare(spiked(nn.Conv2d(4, 4, 3, padding=1), place=1), drawn(1)).model
    before = graph.SerializeToString()
    assert guard_float_layers(graph, ["nowhere"]) == 0
    assert graph.SerializeToString() == before
    assert guard_float_layers(graph, ["/2/Conv"]) == 1
    onnx.checker.check_model(graph, full_check=True)
    with open_session(before) as one, open_session(graph.SerializeToString()) as other:
        assert deviation(one, other, drawn(2)).max_error < 1e-6


@given(arrays.arrays(np.float32, st.integers(1, 8), elements=FINITE))
def test_the_parts_of_a_bias_multiply_to_it(bias: Array) -> None:
    whole, scale = exact_parts(bias)
    assert whole.dtype == np.int32 and scale.dtype == np.float32
    assert np.array_equal(whole.astype(np.float32) * scale, bias)


def test_a_bias_too_small_for_a_scale_is_zero() -> None:
    whole, scale = exact_parts(np.array([1e-40, -1e-38, 0.0], np.float32))
    assert not whole.any() and np.isfinite(scale).all() and (scale > 0.0).all()
