"""A graph of one kernel computes what the kernel says, and writes the shape that it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from juggler.errors import ConfigError
from juggler.predict import KernelSpec
from juggler.predict.graphs.kernel_graph import BINARY, UNARY, build
from juggler.predict.kernels.spec import ACTIVATIONS
from juggler.runtime.export import OPSET as EXPORTED
from juggler.runtime.onnx_graphs.builder import normal

CONV = KernelSpec("conv", 2, 16, 32, 9, 8, kernel=(3, 3), stride=(2, 1), pads=(1, 1, 1, 1), bias=True)
KERNELS = [
    CONV,
    replace(CONV, adds=True, activation="relu"),
    replace(CONV, cold=True, bias=False, dilation=(2, 1)),
    replace(CONV, groups=4),
    *(replace(CONV, activation=name) for name in ("none", *ACTIVATIONS)),
    KernelSpec("depthwise", 1, 16, 16, 7, 7, kernel=(3, 3), groups=16),
    KernelSpec("pool", 1, 16, 16, 9, 9, kernel=(3, 3), stride=(2, 2), pads=(1, 1, 1, 1)),
    KernelSpec("pool", 1, 6, 6, 9, 9, kernel=(2, 2), kind="average"),
    KernelSpec("dense", 3, 20, 10, bias=True, activation="relu"),
    KernelSpec("dense", 3, 20, 10, 4, bias=True, kind="matmul", cold=True),
    KernelSpec("dense", 3, 20, 10, 4, kind="product", groups=2),
    KernelSpec("global_pool", 2, 16, 16, 5, 5),
    KernelSpec("global_pool", 2, 16, 16, 5, 5, kind="max"),
    KernelSpec("add", 2, 16, 16, 5, 5),
    KernelSpec("add", 2, 16, 16, 5, 5, kind="broadcast"),
    *(KernelSpec("elementwise", 2, 8, 8, 5, 5, kind=kind) for kind in (*UNARY, *BINARY)),
    KernelSpec("norm", 2, 16, 16, 5, 5),
    KernelSpec("norm", 2, 16, 16, 5, kind="layer"),
    KernelSpec("concat", 2, 7, 7, 5, 5, groups=3),
    KernelSpec("softmax", 2, 16, 16, 5),
    *(
        KernelSpec("reorder", 2, 16, 16, 5, 5, kind=kind)
        for kind in ("to_blocked", "from_blocked", "transpose")
    ),
]


def ran(spec):
    graph = build(spec)
    session = onnxruntime.InferenceSession(graph.model, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, graph.feed())
    return output


@pytest.mark.parametrize("spec", KERNELS, ids=lambda s: f"{s.family}-{s.kind}-{s.activation}-{s.digest[:3]}")
def test_a_kernel_runs_and_writes_as_many_numbers_as_it_says(spec):
    graph = build(spec)
    onnx.checker.check_model(onnx.load_from_string(graph.model), full_check=True)
    output = ran(spec)
    assert 4 * output.size == spec.output_bytes
    read = sum(4 * int(np.prod(shape)) for shape in graph.inputs.values())
    weights = spec.in_channels * 4 if spec.kind == "broadcast" else 0  # a weight in the graph
    assert read + weights == spec.input_bytes
    held = sum(len(tensor.raw_data) for tensor in onnx.load_from_string(graph.model).graph.initializer)
    assert held == spec.weight_bytes + weights


def test_a_convolution_computes_what_torch_computes():
    torch = pytest.importorskip("torch")
    graph = build(replace(CONV, adds=True, activation="relu"))
    weights = {
        tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load_from_string(graph.model).graph.initializer
    }
    feed = {name: torch.from_numpy(array.copy()) for name, array in graph.feed().items()}
    expected = torch.nn.functional.conv2d(
        feed["x"], weights["weight"], weights["bias"], CONV.stride, CONV.pads[:2]
    )
    expected = torch.relu(expected + feed["y"]).numpy()
    np.testing.assert_allclose(ran(replace(CONV, adds=True, activation="relu")), expected, atol=1e-4)


def test_inputs_are_normal_and_never_zero():
    values = normal((3, 5, 7, 200))
    assert abs(float(values.mean())) < 0.05
    assert abs(float(values.std()) - 1.0) < 0.05
    assert np.count_nonzero(np.abs(values) > 1e-30) == values.size
    feed = build(KernelSpec("add", 1, 4, 4, 3, 3)).feed()
    assert not np.array_equal(feed["x"], feed["y"])


def test_an_unknown_function_is_told():
    with pytest.raises(ConfigError, match="'pow'"):
        build(KernelSpec("elementwise", 1, 4, 4, kind="pow"))


def test_graphs_are_of_the_set_that_networks_are_exported_in():
    """An average pool of a newer one runs by a slower kernel, so it would not tell of networks."""
    pool = KernelSpec("pool", 1, 6, 6, 9, 9, kernel=(2, 2), kind="average")
    gelu = KernelSpec("elementwise", 1, 8, 8, 5, 5, kind="gelu")
    opsets = [onnx.load_from_string(build(spec).model).opset_import[0].version for spec in (pool, gelu)]
    assert opsets == [EXPORTED, 20]


@pytest.mark.parametrize("spec", [replace(CONV, in_channels=3, out_channels=8, adds=True), KERNELS[-8]])
def test_every_input_begins_with_a_cache_line(spec):
    feed = build(spec).feed()
    assert all(array.ctypes.data % 64 == 0 for array in feed.values())
    assert {name: array.shape for name, array in feed.items()} == build(spec).inputs
