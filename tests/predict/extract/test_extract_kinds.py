"""Kernels that release 0.1.0 did not know, or took for others: read as the runtime runs them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from juggler.predict.extract.kernels import extract_kernels
from juggler.predict.kernels.spec import KernelSpec

FLOATS = TensorProto.FLOAT


def model(nodes: list[Any], shape: list[int], weights: dict[str, Any], output: str = "y") -> bytes:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    ends = [helper.make_tensor_value_info(n, FLOATS, s) for n, s in (("x", shape), (output, None))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    outputs = output.split()
    return helper.make_node(op, inputs.split(), outputs, name=f"n_{outputs[0]}", **attributes)


def normal(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_two_convolutions_stay_two_where_their_biases_are_one_weight_by_other_names():
    """A tracing exporter gives equal biases other names by Identity; no layer is a copy for that."""
    nodes = [
        node("Identity", "b", "c"),
        node("Conv", "x w b", "p", kernel_shape=[3, 3]),
        node("Conv", "x v c", "q", kernel_shape=[3, 3]),
        node("Concat", "p q", "y", axis=1),
    ]
    weights = {"w": normal(200, 8, 3, 3), "v": normal(200, 8, 3, 3), "b": normal(200)}
    read = extract_kernels(model(nodes, [1, 8, 9, 9], weights))
    assert Counter(kernel.spec.family for kernel in read.kernels)["conv"] == 2


def test_a_mean_that_counts_its_padding_and_rounds_up_has_a_kind_of_its_own():
    """ONNX Runtime runs it number by number in the plain layout, forty times slower than others."""
    window = {"kernel_shape": [3, 3], "pads": [1] * 4}
    kinds = {}
    for name, options in {"plain": {}, "padded": {"count_include_pad": 1, "ceil_mode": 1}}.items():
        nodes = [node("Conv", "x w", "a"), node("AveragePool", "a", "y", **window, **options)]
        read = extract_kernels(model(nodes, [1, 32, 8, 8], {"w": normal(32, 32, 1, 1)}))
        (kinds[name],) = [k.spec for k in read.kernels if k.spec.family == "pool"]
    assert (kinds["plain"].kind, kinds["plain"].layout) == ("average", "blocked")
    assert (kinds["padded"].kind, kinds["padded"].layout) == ("padded_average", "nchw")


def test_what_copies_is_a_kernel_and_not_put_down_by_its_bytes():
    nodes = [node("Relu", "x", "r"), node("Split", "r", "a b", axis=1), node("Add", "a b", "s")]
    nodes += [node("Pad", "s p", "y")]
    read = extract_kernels(model(nodes, [2, 8, 4, 4], {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}), batch=2)
    kinds = {kernel.op: kernel.spec for kernel in read.kernels}
    assert read.uncovered == ()
    assert kinds["Split"] == KernelSpec("concat", 2, 8, 8, 4, 4, groups=2, kind="split")
    assert kinds["Pad"] == KernelSpec("concat", 2, 4, 4, 6, 6, kind="slice")


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_layers_are_kernels(op: str, gates: int):
    weights = {"w": normal(2, gates * 6, 5), "r": normal(2, gates * 6, 6), "b": normal(2, gates * 12)}
    nodes = [node(op, "x w r b", "y", hidden_size=6, direction="bidirectional")]
    read = extract_kernels(model(nodes, [7, 3, 5], weights), shape=(3, 5), batch=7)
    (kernel,) = read.kernels
    assert kernel.spec == KernelSpec("recurrent", 3, 5, 12, 7, groups=2, kind=op.lower(), bias=True)
    assert kernel.spec.macs == 7 * 3 * 2 * gates * 6 * (5 + 6)


def test_quantised_operators_are_kernels_and_no_traceback():
    weights = {
        "s": np.float32(0.1), "z": np.uint8(128), "w": np.ones((16, 3, 3, 3), np.int8), "t": np.int8(0),
        "v": np.ones((64, 5), np.int8),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x s z", "a"),
        node("QLinearConv", "a s z w s t s z", "c", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("QLinearGlobalAveragePool", "c s z s z", "p", domain="com.microsoft"),
        node("QLinearConv", "c s z u s t s z", "d"),
        node("Flatten", "d", "f"),
        node("QLinearMatMul", "f s z v s t s z", "m"),
        node("DequantizeLinear", "m s z", "y"),
    ]
    weights["u"] = np.ones((4, 16, 1, 1), np.int8)
    read = extract_kernels(model(nodes, [1, 3, 9, 9], weights))
    families = [(k.spec.family, k.spec.kind) for k in read.kernels if k.spec.family.startswith("int8")]
    assert [name for name, _ in families] == [
        "int8_pass",
        "int8_conv",
        "int8_conv",
        "int8_dense",
        "int8_pass",
    ]
    first = next(kernel.spec for kernel in read.kernels if kernel.spec.family == "int8_conv")
    assert (first.in_channels, first.out_channels, first.height, first.stride) == (3, 16, 9, (2, 2))
    assert (first.out_height, first.out_width, first.layout) == (4, 4, "blocked")
    assert first.weight_bytes == 16 * 27


def test_one_dimensional_convolutions_are_images_of_one_row():
    nodes = [node("Conv", "x w", "y", kernel_shape=[5], pads=[2, 2], strides=[2])]
    read = extract_kernels(model(nodes, [1, 8, 64], {"w": normal(16, 8, 5)}), shape=(8, 64))
    (kernel,) = read.kernels
    spec = kernel.spec
    assert (spec.height, spec.width, spec.kernel, spec.stride) == (1, 64, (1, 5), (1, 2))
    assert spec.pads[1] == 2 and (spec.out_height, spec.out_width) == (1, 32)
    assert spec.macs == 16 * 8 * 5 * 32


@pytest.mark.parametrize("free", [-1, 0])
def test_a_size_below_1_is_free(free: int):
    nodes = [node("Conv", "x w", "y", kernel_shape=[3, 3])]
    content = model(nodes, [free, 3, free, 9], {"w": normal(4, 3, 3, 3)})
    read = extract_kernels(content, shape=(3, 12, 9), batch=2)
    assert read.shape == (2, 3, 12, 9)


def test_a_reorder_and_what_follows_it_are_read_in_the_layout_that_campaigns_sample():
    nodes = [node("Conv", "x w", "a"), node("Sigmoid", "a", "y")]
    read = extract_kernels(model(nodes, [1, 32, 8, 8], {"w": normal(32, 32, 1, 1)}))
    assert {k.spec.layout for k in read.kernels if k.spec.family == "reorder"} == {"nchw"}
