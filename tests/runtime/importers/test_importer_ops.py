"""Every handle of the ONNX importer against ONNX Runtime, and random chains of them."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import fx

from juggler.errors import ConfigError
from juggler.runtime.importers import _comparison as comparison
from juggler.runtime.importers._onnx_ops import HANDLES
from juggler.runtime.importers.onnx import IMPORTER

SHAPE = (2, 4, 7, 6)
DRAWN = np.random.default_rng(5)
X = DRAWN.standard_normal(SHAPE, dtype=np.float32)
K = DRAWN.standard_normal((4, 2, 3, 3), dtype=np.float32)
FOUR = DRAWN.random(4, dtype=np.float32) + 0.5
SCALES = np.array([1, 1, 2, 3], np.float32)
SIX = DRAWN.random(6, dtype=np.float32) + 0.5


def model_of(nodes: list[onnx.NodeProto], weights: dict[str, object], opset: int) -> bytes:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *SHAPE[1:]])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    content: bytes = onnx.shape_inference.infer_shapes(model).SerializeToString()
    return content


def check(model: bytes, x: np.ndarray = X, limit: float = 2e-6) -> fx.GraphModule:
    """Compare the imported graph with ONNX Runtime, on the batch of `x` and on another."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    graph = IMPORTER.load(model)
    for given_x in (x, np.concatenate([x, -x[:1]])):
        expected = session.run(None, {"input": given_x})[0]
        answer = graph(torch.from_numpy(given_x.copy())).detach().numpy()
        assert (answer.shape, answer.dtype) == (expected.shape, expected.dtype)
        largest = max(1.0, np.abs(expected.astype(np.float64)).max())
        np.testing.assert_allclose(answer, expected, rtol=0, atol=limit * largest)
    return graph


CASES: dict[str, list[tuple[dict, dict]]] = {
    "ConvTranspose": [
        ({"strides": [2, 3], "pads": [1, 0, 1, 0], "output_padding": [1, 2]}, {"w": K}),
        ({"pads": [0, 1, 2, 1], "dilations": [2, 1], "group": 2}, {"w": K, "b": FOUR}),
        ({"strides": [2, 2], "auto_pad": "SAME_UPPER"}, {"w": K}),
        ({"strides": [2, 2], "auto_pad": "SAME_LOWER"}, {"w": K}),
        ({"strides": [2, 2], "output_shape": [14, 12]}, {"w": K}),
    ],
    "Conv": [
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2], "group": 2}, {"w": K}),
        ({"auto_pad": "SAME_LOWER", "strides": [3, 1], "group": 2}, {"w": K, "b": FOUR}),
    ],
    "MaxPool": [
        ({"kernel_shape": [3, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]}, {}),
        ({"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, {}),
        ({"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "dilations": [2, 2]}, {}),
        ({"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]}, {}),
    ],
    "AveragePool": [
        ({"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, {}),
        ({"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]}, {}),
        ({"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 1]}, {}),
        ({"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}, {}),
        ({"kernel_shape": [3, 3], "pads": [1, 0, 0, 1], "count_include_pad": 1}, {}),
        ({"kernel_shape": [3, 3], "pads": [1, 0, 0, 1]}, {}),
    ],
    "GlobalMaxPool": [({}, {})],
    "GlobalAveragePool": [({}, {})],
    "LeakyRelu": [({}, {}), ({"alpha": 0.3}, {})],
    "PRelu": [({}, {"s": FOUR.reshape(4, 1, 1)}), ({}, {"s": np.array([0.2], np.float32)})],
    "HardSigmoid": [({}, {}), ({"alpha": 1 / 6, "beta": 0.5}, {}), ({"alpha": 0.3, "beta": 0.1}, {})],
    "Elu": [({}, {}), ({"alpha": 0.7}, {})],
    "Gelu": [({}, {}), ({"approximate": "tanh"}, {})],
    "Pow": [({}, {"p": np.array(2.0, np.float32)})],
    "Sub": [({}, {"c": FOUR.reshape(4, 1, 1)})],
    "Div": [({}, {"c": FOUR.reshape(4, 1, 1)})],
    "Mul": [({}, {"c": SIX})],
    "Add": [({}, {"c": FOUR.reshape(1, 4, 1, 1)})],
    "Sum": [({}, {"c": SIX, "d": FOUR.reshape(4, 1, 1)}), ({}, {})],
    "Max": [({}, {"c": SIX, "d": FOUR.reshape(4, 1, 1)})],
    "Min": [({}, {"c": SIX})],
    "ReduceMean": [({"keepdims": 0}, {"a": [2, 3]}), ({}, {"a": [-1, 2]}), ({}, {"a": [1]})],
    "ReduceSum": [({"keepdims": 0}, {"a": [3]}), ({}, {"a": [1, 2]})],
    "ReduceMax": [({"keepdims": 0}, {"a": [2, 3]})],
    "ReduceMin": [({}, {"a": [2]})],
    "ReduceL2": [({}, {"a": [1]})],
    "LRN": [({"size": 3}, {}), ({"size": 5, "alpha": 0.3, "beta": 0.6, "bias": 2.0}, {})],
    "InstanceNormalization": [({"epsilon": 1e-3}, {"s": FOUR, "b": -FOUR})],
    "LayerNormalization": [({}, {"s": SIX, "b": -SIX}), ({"axis": -2}, {"s": X[0, 0].copy()})],
    "BatchNormalization": [({"epsilon": 0.1}, {"s": FOUR, "b": -FOUR, "m": FOUR / 2, "v": FOUR + 1})],
    "Softmax": [({}, {}), ({"axis": 1}, {})],
    "LogSoftmax": [({"axis": 2}, {})],
    "Transpose": [({"perm": [0, 2, 3, 1]}, {}), ({"perm": [0, 1, 3, 2]}, {})],
    "Reshape": [({}, {"to": [0, 2, 2, -1]}), ({}, {"to": [-1, 168]}), ({}, {"to": [0, 0, -1]})],
    "Unsqueeze": [({}, {"a": [1, -1]})],
    "Slice": [
        ({}, {"b": [1, -4], "e": [4, 2**62], "a": [1, 3], "s": [1, 2]}),
        ({}, {"b": [0], "e": [-1], "a": [2]}),
    ],
    "Pad": [
        ({}, {"p": [0, 1, 2, 0, 0, 0, 1, 3]}),
        ({}, {"p": [0, 0, 1, 1, 0, 0, 1, 1], "v": np.array(0.7, np.float32)}),
        ({"mode": "reflect"}, {"p": [0, 0, 1, 2, 0, 0, 0, 1]}),
        ({"mode": "edge"}, {"p": [0, 0, 1, 2, 0, 0, 0, 1]}),
    ],
    "Resize": [
        (
            {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
            {"": [], "s": np.array([1, 1, 2, 3], np.float32)},
        ),
        ({"mode": "nearest"}, {"": [], "s": np.array([1, 1, 2, 4], np.float32)}),
        (
            {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
            {"": [], "s": np.array([1, 1, 2, 2], np.float32)},
        ),
        ({"mode": "linear"}, {"": [], "s": np.array([1, 1, 2, 1.5], np.float32)}),
    ],
    "DepthToSpace": [({"blocksize": 2, "mode": "CRD"}, {})],
    "Clip": [({}, {"low": np.array(-0.5, np.float32), "high": np.array(1.0, np.float32)})],
    "Cast": [({"to": TensorProto.FLOAT}, {})],
    "Dropout": [({}, {})],
    "MatMul": [({}, {"m": X[0, 0, :6, :5].copy()}), ({}, {"m": X[0, :, :6, :3].copy()})],
    "Flatten": [({}, {})],
}
CASES |= {
    "ArgMax": [({"axis": 1}, {}), ({"axis": -1, "keepdims": 0}, {})],
    "ArgMin": [({"axis": 2}, {})],
    "CumSum": [({}, {"a": np.array(2)})],
    "Einsum": [({"equation": "bchw,dc->bdhw"}, {"w": X[0, :3, :4, 0].copy()})],
    "Expand": [({}, {"to": [3, 1, 1, 1, 6]}), ({}, {"to": [1]})],
    "Gather": [
        ({"axis": 1}, {"i": [3, -1, 0]}),
        ({"axis": 3}, {"i": np.array([[0, 2], [5, 1]])}),
        ({"axis": -2}, {"i": np.array(2)}),
    ],
    "LpNormalization": [({"axis": 1}, {}), ({"axis": -1, "p": 1}, {})],
    "Mean": [({}, {"c": SIX})],
    "Mod": [({"fmod": 1}, {"c": SIX})],
    "ReduceL1": [({}, {"a": [1, 3]})],
    "ReduceLogSumExp": [({}, {"a": [1]})],
    "ReduceProd": [({"keepdims": 0}, {"a": [2, -1]}), ({}, {})],
    "ReduceSumSquare": [({}, {"a": [1, 2]}), ({"keepdims": 0}, {})],
    "SpaceToDepth": [],
    "ThresholdedRelu": [({"alpha": 0.3}, {})],
    "Tile": [({}, {"r": [1, 2, 1, 3]})],
    "Trilu": [({}, {}), ({"upper": 0}, {"k": np.array(1)})],
}
CASES["Flatten"] += [({"axis": axis}, {}) for axis in (0, 2, 3, 4, -1)]
CASES["MatMul"] += [({}, {"m": X[:1, :, :6, :3].copy().reshape(4, 6, 3)}), ({}, {"m": SIX})]
CASES["PRelu"] += [({}, {"s": SIX})]
CASES["Pad"] += [
    ({}, {"p": [1, 1], "": [], "a": [2]}),
    ({"mode": "wrap"}, {"p": [1, 2], "": [], "a": [3]}),
    ({"mode": "edge"}, {"p": [0, 2, 0, 1, 0, 0, 1, -1]}),
    ({"mode": "reflect"}, {"p": [0, 1, 1, 0, 0, 2, 0, 0]}),
]
CASES["DepthToSpace"] += [({"blocksize": 2}, {})]
CASES["ReduceMean"] += [({}, {}), ({"keepdims": 0}, {}), ({"noop_with_empty_axes": 1}, {})]
CASES["Reshape"] += [({}, {"to": [-1, 6]}), ({}, {"to": [0, -1]}), ({}, {"to": [1, -1, 6]})]
CASES["Slice"] += [({}, {"b": [-1, 9], "e": [-9, 1], "a": [1, 2], "s": [-1, -2]})]
CASES["Cast"] += [({"to": TensorProto.INT64}, {}), ({"to": TensorProto.BOOL}, {})]
PLAIN = (
    "Abs Ceil Celu Cos Erf Exp Floor HardSwish Identity IsInf IsNaN Mish Neg Relu Round Selu Sigmoid Sign "
    "Sin Softplus Softsign Tanh"
)
COMPARISONS = "Equal Greater GreaterOrEqual Less LessOrEqual"
WHOLE = f"ArgMax ArgMin IsInf IsNaN {COMPARISONS}".split()  # they give places, or truth values
CASES |= {kind: [({}, {"c": SIX}), ({}, {"c": X[0].copy()})] for kind in COMPARISONS.split()}
CASES |= {kind: [({}, {})] for kind in PLAIN.split()}
ELSEWHERE = {
    *("Concat", "Gemm", "Log", "Reciprocal", "Shape", "Split", "Sqrt", "Squeeze", "Upsample"),
    *("And", "CastLike", "Not", "Or", "Where", "Xor", "ConstantOfShape", "Range", "Size"),
    *("DequantizeLinear", "QuantizeLinear", "GatherElements", "ReduceLogSum", "TopK"),
    *("GRU", "GroupNormalization", "LSTM", "RNN"),
}


def test_every_handle_is_held_against_onnx_runtime() -> None:
    assert set(CASES) | ELSEWHERE == set(HANDLES)


def as_weight(value: object) -> np.ndarray:
    """Return whole numbers as ONNX counts, all others as they are."""
    return value if isinstance(value, np.ndarray) else np.array(value, np.int64)


@pytest.mark.parametrize(
    ("kind", "number"), [(kind, n) for kind, cases in CASES.items() for n in range(len(cases))]
)
def test_an_op_agrees_with_onnx_runtime(kind: str, number: int) -> None:
    attributes, given_weights = CASES[kind][number]
    weights = {name: as_weight(value) for name, value in given_weights.items() if name}
    nodes = [helper.make_node(kind, ["input", *given_weights], ["output"], name="it", **attributes)]
    if kind in WHOLE or attributes.get("to", TensorProto.FLOAT) != TensorProto.FLOAT:
        nodes[0].output[0] = "whole"
        nodes.append(helper.make_node("Cast", ["whole"], ["output"], to=TensorProto.FLOAT))
    check(model_of(nodes, weights, 20))


def test_roots_logarithms_and_parts() -> None:
    nodes = [
        helper.make_node("Abs", ["input"], ["a"]),
        helper.make_node("Split", ["a", "sizes"], ["b", "c"], axis=1),
        helper.make_node("Sqrt", ["b"], ["d"]),
        helper.make_node("Reciprocal", ["d"], ["e"]),
        helper.make_node("Log", ["c"], ["f"]),
        helper.make_node("Concat", ["e", "f", "d"], ["g"], axis=1),
        helper.make_node("Split", ["g"], ["h", "i", "j"], axis=3, num_outputs=3),
        helper.make_node("ReduceMax", ["i", "two"], ["k"]),
        helper.make_node("Squeeze", ["k", "two"], ["output"]),
    ]
    check(model_of(nodes, {"sizes": np.array([1, 3]), "two": np.array([2])}, 20), limit=1e-5)


@pytest.mark.parametrize("opset", [9, 11])
def test_old_forms_of_ops(opset: int) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["input"], ["a"], axes=[1]),
        helper.make_node("Squeeze", ["a"], ["b"], axes=[1]),
        helper.make_node("Split", ["b"], ["c", "d"], axis=1, split=[1, 3]),
        helper.make_node("ReduceMean", ["d"], ["e"], axes=[2, 3]),
        helper.make_node("Mul", ["d", "e"], ["f"]),
    ]
    weights = {"s": np.array([1, 1, 2, 2], np.float32)}
    if opset < 10:
        nodes += [
            helper.make_node("Slice", ["f"], ["g"], starts=[1], ends=[9], axes=[2]),
            helper.make_node("Upsample", ["g", "s"], ["output"], mode="nearest"),
        ]
    else:
        nodes.append(helper.make_node("Clip", ["f", "low"], ["output"]))
        weights = {"low": np.array(0.0, np.float32)}
    check(model_of(nodes, weights, opset))


def test_a_channel_shuffle_behind_a_free_batch() -> None:
    nodes = [
        helper.make_node("Reshape", ["input", "split"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["b", "join"], ["output"]),
    ]
    check(model_of(nodes, {"split": np.array([-1, 2, 2, 7, 6]), "join": np.array([0, -1, 7, 6])}, 17))


def test_resizing_to_the_size_of_another_value() -> None:
    nodes = [
        helper.make_node("MaxPool", ["input"], ["a"], kernel_shape=[7, 2], strides=[7, 2]),
        helper.make_node("Shape", ["input"], ["b"]),
        helper.make_node("Resize", ["a", "", "", "b"], ["c"], mode="nearest"),
        helper.make_node("Add", ["c", "input"], ["output"]),
    ]
    check(model_of(nodes, {}, 17))


STEPS = [
    ("Conv", {"pads": [1, 1, 1, 1], "group": 2}, ("k",)),
    ("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2], "group": 2}, ("k", "f")),
    ("BatchNormalization", {}, ("f", "f", "f", "f")),
    ("AveragePool", {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1], "strides": [1, 1]}, ()),
    ("MaxPool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "ceil_mode": 0}, ()),
    ("PRelu", {}, ("slope",)),
    ("HardSwish", {}, ()),
    ("Elu", {}, ()),
    ("LRN", {"size": 3}, ()),
    ("ConvTranspose", {"strides": [2, 2], "pads": [1, 0, 0, 1], "group": 2}, ("k",)),
    ("Transpose", {"perm": [0, 1, 3, 2]}, ()),
    ("Mul", {}, ("slope",)),
    ("Pad", {"mode": "edge"}, ("pads",)),
    ("Resize", {"mode": "nearest"}, ("", "twice")),
]  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(STEPS), min_size=2, max_size=6), st.booleans())
def test_random_chains_agree_with_onnx_runtime(steps: list[tuple[str, dict, tuple]], joined: bool) -> None:
    nodes, last = [], "input"
    for at, (kind, attributes, weights) in enumerate(steps):
        nodes.append(helper.make_node(kind, [last, *weights], [f"v{at}"], name=f"n{at}", **attributes))
        last = f"v{at}"
    nodes.append(helper.make_node("Add" if joined else "Max", [last, last], ["output"]))
    weights = {
        **{"k": K, "f": FOUR, "slope": FOUR.reshape(4, 1, 1)},
        **{"pads": np.array([0, 0, 1, 0, 0, 0, 0, 1]), "twice": np.array([1, 1, 2, 2], np.float32)},
    }
    check(model_of(nodes, weights, 17), limit=2e-5)


@pytest.mark.parametrize(
    ("kind", "attributes", "weights", "reason"),
    [
        ("LRN", {"size": 2}, {}, "window is even"),
        ("Pad", {"mode": "edge"}, {"p": [1, 1], "": [], "a": [0]}, "the size is free"),
        ("CumSum", {"reverse": 1}, {"a": np.array(1)}, "runs backwards"),
        ("MaxPool", {"kernel_shape": [3, 3], "pads": [1, 1, 0, 0], "ceil_mode": 1}, {}, "rounded up"),
    ],
)
def test_what_is_lacking_is_named(kind: str, attributes: dict, weights: dict, reason: str) -> None:
    made = helper.make_node(kind, ["input", *weights], ["output"], name="it", **attributes)
    with pytest.raises(ConfigError, match=rf"{kind} \(it\): .*{reason}"):
        IMPORTER.load(model_of([made], {n: as_weight(v) for n, v in weights.items() if n}, 20))


def test_casts_there_and_back_cut_off_what_is_behind_the_point() -> None:
    nodes = [
        helper.make_node("Cast", ["input"], ["a"], name="it", to=TensorProto.INT32),
        helper.make_node("Cast", ["a"], ["b"], name="back", to=TensorProto.FLOAT),
        helper.make_node("CastLike", ["b", "input"], ["output"], name="same"),
    ]
    graph = check(model_of(nodes, {}, 17))
    # In another element type it follows that type, so that a proof in float64 is one.
    assert (
        copy.deepcopy(graph).double()(torch.randn(1, *SHAPE[1:], dtype=torch.float64)).dtype == torch.float64
    )


def test_logic_of_truth_values() -> None:
    nodes = [
        helper.make_node("Greater", ["input", "c"], ["a"]),
        helper.make_node("Less", ["input", "d"], ["b"]),
        helper.make_node("And", ["a", "b"], ["and"]),
        helper.make_node("Or", ["a", "b"], ["or"]),
        helper.make_node("Xor", ["and", "or"], ["xor"]),
        helper.make_node("Not", ["xor"], ["not"]),
        helper.make_node("Where", ["not", "input", "d"], ["output"]),
    ]
    check(model_of(nodes, {"c": SIX, "d": FOUR.reshape(4, 1, 1)}, 17))


def test_what_shapes_make_follows_free_sizes() -> None:
    """Positions and masks are made of the input's own sizes: `arange(width) < width // 2`, at any size."""
    nodes = [
        helper.make_node("Shape", ["input"], ["s"]),
        helper.make_node("Gather", ["s", "three"], ["w"]),
        helper.make_node("Div", ["w", "two"], ["half"]),
        helper.make_node("Range", ["zero", "w", "one"], ["r"]),
        helper.make_node("Less", ["r", "half"], ["l"]),
        helper.make_node("ConstantOfShape", ["s"], ["c"], value=numpy_helper.from_array(SIX[:1])),
        helper.make_node("Expand", ["l", "s"], ["e"]),
        helper.make_node("Where", ["e", "input", "c"], ["output"]),
    ]
    weights = {
        name: np.array(value) for name, value in zip(("zero", "one", "two", "three"), range(4), strict=True)
    }
    content = onnx.load_from_string(model_of(nodes, weights, 17))
    for axis in (2, 3):
        content.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side_{axis}"
    del content.graph.value_info[:]
    free = content.SerializeToString()
    check(free)
    check(free, X[:, :, :3, :5].copy())


def test_picks_places_and_the_largest() -> None:
    nodes = [
        helper.make_node("TopK", ["input", "k"], ["v", "i"], axis=2),
        helper.make_node("GatherElements", ["input", "i"], ["g"], axis=2),
        helper.make_node("Sub", ["v", "g"], ["zeros"]),
        helper.make_node("Abs", ["v"], ["a"]),
        helper.make_node("ReduceLogSum", ["a", "axes"], ["r"]),
        helper.make_node("Add", ["zeros", "r"], ["output"]),
    ]
    check(model_of(nodes, {"k": np.array([3]), "axes": np.array([1, 3])}, 20), limit=1e-5)


@pytest.mark.parametrize("per_channel", [True, False])
def test_numbers_of_eight_bits_stand_for_others(per_channel: bool) -> None:
    """Weights are made what they stand for; activations are rounded where the file rounds them."""
    scale = np.array([0.01, 0.02, 0.03, 0.04] if per_channel else 0.02, np.float32)
    zero = np.zeros(scale.shape, np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "xs", "xz"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "xs", "xz"], ["d"]),
        helper.make_node("DequantizeLinear", ["wq", "s", "z"], ["w"], axis=0),
        helper.make_node("Conv", ["d", "w"], ["output"], group=2),
    ]
    whole = np.random.default_rng(0).integers(-100, 100, K.shape).astype(np.int8)
    ends = {"xs": np.array(0.02, np.float32), "xz": np.array(120, np.uint8)}
    check(model_of(nodes, {**ends, "wq": whole, "s": scale, "z": zero}, 17), limit=1e-5)


@pytest.mark.parametrize(
    ("beta", "addend"),
    [
        (1.0, np.ones((), np.float32)),
        (0.5, FOUR),
        (2.0, FOUR[:3].reshape(3, 1)),
        (1.0, X[0, 0, :3, :4].copy()),
    ],
    ids=["number", "row", "column", "matrix"],
)
@pytest.mark.parametrize("flags", [{}, {"transB": 1}, {"transA": 1}])
def test_gemm_adds_what_is_of_any_shape(beta: float, addend: np.ndarray, flags: dict) -> None:
    weight = DRAWN.standard_normal((4, 6) if "transB" in flags else (6, 4), dtype=np.float32)
    made = helper.make_node("Gemm", ["input", "w", "c"], ["output"], alpha=0.5, beta=beta, **flags)
    graph = helper.make_graph(
        [made],
        "made",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [6, 3] if "transA" in flags else [3, 6])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [3, 4])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(addend, "c")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert all(check.passed for check in comparison.source_checks(IMPORTER.load(model.SerializeToString())))


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_softmax_of_old_is_over_all_axes_behind(opset: int, axis: int) -> None:
    check(model_of([helper.make_node("Softmax", ["input"], ["output"], axis=axis)], {}, opset))


def test_groups_of_channels_are_normalised() -> None:
    made = helper.make_node("GroupNormalization", ["input", "s", "b"], ["output"], num_groups=2)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("input", "output")]
    weights = [numpy_helper.from_array(FOUR, "s"), numpy_helper.from_array(-FOUR, "b")]
    graph = helper.make_graph([made], "made", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=9)
    assert all(check.passed for check in comparison.source_checks(IMPORTER.load(model.SerializeToString())))


def test_blocks_of_pixels_become_channels() -> None:
    nodes = [
        helper.make_node("Pad", ["input", "p"], ["a"]),
        helper.make_node("SpaceToDepth", ["a"], ["b"], blocksize=2),
        helper.make_node("Size", ["b"], ["count"]),
        helper.make_node("Cast", ["count"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["b", "f"], ["output"]),
    ]
    check(model_of(nodes, {"p": np.array([0, 0, 0, 0, 0, 0, 1, 0])}, 17))


@pytest.mark.parametrize(
    "name", ["class", "forward", "graph", "type", "self", "None", "1", "卷积²", "", "training"]
)
def test_nodes_and_inputs_may_have_any_name(name: str) -> None:
    nodes = [
        helper.make_node("Conv", [name or "input", "w"], ["a"], name=name, group=2),
        helper.make_node("Relu", ["a"], ["output"], name=2 * name),
    ]
    content = onnx.load_from_string(model_of([helper.make_node("Relu", ["input"], ["output"])], {"w": K}, 17))
    del content.graph.node[:]
    content.graph.node.extend(nodes)
    content.graph.input[0].name = name or "input"
    del content.graph.output[0].type.tensor_type.shape.dim[2:]
    (
        content.graph.output[0].type.tensor_type.shape.dim.add(),
        content.graph.output[0].type.tensor_type.shape.dim.add(),
    )
    assert comparison.source_checks(IMPORTER.load(content.SerializeToString()))[0].passed


@pytest.mark.parametrize(
    ("kind", "attributes", "weights", "reason"),
    [
        ("Reshape", {}, {"to": [-1, -1, -5]}, "no shape"),
        ("Conv", {"strides": [-1, 0], "group": 2}, {"w": K}, "strides are"),
    ],
)
def test_what_makes_no_sense_is_named(kind: str, attributes: dict, weights: dict, reason: str) -> None:
    made = helper.make_node(kind, ["input", *weights], ["output"], name="it", **attributes)
    given_weights = {name: as_weight(value) for name, value in weights.items()}
    content = onnx.load_from_string(model_of([made], given_weights, 17))
    content.graph.output[0].type.tensor_type.shape.dim.extend(
        content.graph.input[0].type.tensor_type.shape.dim
    )
    with pytest.raises(ConfigError, match=rf"{kind} \(it\): .*{reason}"):
        IMPORTER.load(content.SerializeToString())


def test_what_is_lacking_is_counted() -> None:
    names = ["input", *(f"v{at}" for at in range(5)), "output"]
    nodes = [
        helper.make_node("Hardmax", [first], [second], name=f"node_{second}")
        for first, second in itertools.pairwise(names)
    ]
    with pytest.raises(
        ConfigError, match=r"6 nodes .*: 6 Hardmax \(node_v0, node_v1, node_v2, node_v3, \.\.\.\): no handle"
    ):
        IMPORTER.load(model_of(nodes, {}, 17))


def test_padding_by_a_free_size_is_refused() -> None:
    made = helper.make_node("Conv", ["input", "w"], ["output"], name="it", auto_pad="SAME_UPPER", group=2)
    model = onnx.load_from_string(model_of([made], {"w": K}, 17))
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side_{axis}"
    with pytest.raises(ConfigError, match="size, which is free"):
        IMPORTER.load(model.SerializeToString())
