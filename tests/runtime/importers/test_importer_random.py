"""Random small ONNX files: what is read gives what ONNX Runtime gives, what is not is refused by name.

Each file is one op with attributes drawn at random, of opset 7 to 21. The import itself compares what it
reads with ONNX Runtime, so a difference is a refusal that says so: here that is a failure, and so is any
exception that is not ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from juggler.errors import ConfigError
from juggler.runtime.backends.onnxruntime import failures
from juggler.runtime.importers.onnx import IMPORTER

EACH = 12  # files of each kind; `EACH = 2000` is an hour
Parts = tuple[dict[str, Any], dict[str, np.ndarray], list[int]]


def _window(random: np.random.Generator, rank: int) -> dict[str, Any]:
    """Draw a kernel, strides, dilations and padding of any kind."""
    kernel = random.integers(1, 4, rank).tolist()
    options: dict[str, Any] = {"kernel_shape": kernel, "strides": random.integers(1, 4, rank).tolist()}
    if random.random() < 0.3:
        options["dilations"] = random.integers(1, 3, rank).tolist()
    if random.random() < 0.4:
        options["auto_pad"] = str(random.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    elif random.random() < 0.7:
        options["pads"] = [int(random.integers(0, side)) for side in (*kernel, *kernel)]
    return options


def _conv(random: np.random.Generator, opset: int) -> Parts:
    rank, groups = int(random.integers(1, 4)), int(random.choice([1, 2]))
    options = _window(random, rank) | {"group": groups}
    weight = random.normal(size=(4, 4 // groups, *options["kernel_shape"]))
    return (
        options,
        {"w": weight, **({"b": random.normal(size=4)} if random.random() < 0.5 else {})},
        _shape(random, rank),
    )


def _conv_transpose(random: np.random.Generator, opset: int) -> Parts:
    rank, groups = int(random.integers(1, 3)), int(random.choice([1, 2]))
    options = _window(random, rank) | {"group": groups}
    if "auto_pad" not in options and random.random() < 0.5:
        options["output_padding"] = [int(random.integers(0, side)) for side in options["strides"]]
    return options, {"w": random.normal(size=(4, 3, *options["kernel_shape"]))}, _shape(random, rank)


def _pool(random: np.random.Generator, opset: int) -> Parts:
    rank = int(random.integers(1, 4))
    options = _window(random, rank)
    if opset < 10:
        options.pop("dilations", None)
    elif random.random() < 0.4:
        options["ceil_mode"] = 1
    return options, {}, _shape(random, rank)


def _average_pool(random: np.random.Generator, opset: int) -> Parts:
    options, weights, shape = _pool(random, opset)
    if opset < 19:
        options.pop("dilations", None)
    if opset < 19 and opset >= 10 and random.random() < 0.3:
        options["ceil_mode"] = 1
    return options | {"count_include_pad": int(random.integers(0, 2))}, weights, shape


def _reduction(random: np.random.Generator, opset: int) -> Parts:
    shape = _shape(random, int(random.integers(0, 3)))
    count = int(random.integers(0, len(shape) + 1))
    axes = [
        int(axis) - (len(shape) if random.random() < 0.5 else 0)
        for axis in random.permutation(len(shape))[:count]
    ]
    options: dict[str, Any] = {"keepdims": int(random.integers(0, 2))}
    if opset < 18 and axes:
        options["axes"] = [axis % len(shape) for axis in axes] if opset < 11 else axes
    weights = {"axes": np.array(axes, np.int64)} if opset >= 18 and axes else {}
    return options, weights, shape


def _softmax(random: np.random.Generator, opset: int) -> Parts:
    shape = _shape(random, int(random.integers(0, 3)))
    return {"axis": int(random.integers(0 if opset < 11 else -len(shape), len(shape)))}, {}, shape


def _flatten(random: np.random.Generator, opset: int) -> Parts:
    shape = _shape(random, int(random.integers(0, 3)))
    return {"axis": int(random.integers(0 if opset < 11 else -len(shape), len(shape) + 1))}, {}, shape


def _gemm(random: np.random.Generator, opset: int) -> Parts:
    rows, inner, columns = (int(size) for size in random.integers(1, 6, 3))
    options = {
        "transA": int(random.integers(0, 2)),
        "transB": int(random.integers(0, 2)),
        "alpha": 0.5,
        "beta": 2.0,
    }
    addends = [(columns,), (1, columns), (rows, 1), (rows, columns), (), (1,)]
    weights = {
        "w": random.normal(size=(columns, inner) if options["transB"] else (inner, columns)),
        "c": random.normal(size=addends[int(random.integers(len(addends)))]),
    }
    return options, weights, [inner, rows] if options["transA"] else [rows, inner]


def _batched(random: np.random.Generator, opset: int) -> Parts:
    shape = _shape(random, int(random.integers(0, 3)))
    weight = random.normal(
        size=[(shape[-1],), (shape[-1], 3), (*shape[:-2], shape[-1], 2)][int(random.integers(3))]
    )
    return {}, {"w": weight}, shape


def _pairs(random: np.random.Generator, opset: int) -> Parts:
    shape = _shape(random, int(random.integers(0, 3)))
    other = [size if random.random() < 0.6 else 1 for size in shape][int(random.integers(len(shape))) :]
    return {}, {"c": np.abs(random.normal(size=other)) + 0.5}, shape


def _slice(random: np.random.Generator, opset: int) -> Parts:
    shape = _shape(random, int(random.integers(0, 3)))
    axes = random.permutation(len(shape))[: int(random.integers(1, len(shape) + 1))]
    parts = {
        "starts": random.integers(-3, 1, len(axes)),
        "ends": random.choice([-9, -1, 2, 3, 9, 2**62], len(axes)),
        "axes": axes - (len(shape) if random.random() < 0.5 else 0),
        "steps": random.choice([1, 2, -1, -2] if random.random() < 0.5 else [1], len(axes)),
    }
    if opset >= 10:
        return {}, {name: values.astype(np.int64) for name, values in parts.items()}, shape
    return {name: parts[name].tolist() for name in ("starts", "ends")} | {"axes": axes.tolist()}, {}, shape


def _pad(random: np.random.Generator, opset: int) -> Parts:
    shape = _shape(random, 2)
    modes = ["constant", "reflect", "edge", *(["wrap"] if opset >= 19 else [])]
    mode = str(random.choice(modes))
    pads = random.integers(-1 if mode == "constant" else 0, 2, 8)
    if opset < 11:
        return {"mode": mode, "pads": pads.tolist()}, {}, shape
    return {"mode": mode}, {"p": pads.astype(np.int64)}, shape


def _shape(random: np.random.Generator, space: int) -> list[int]:
    return [int(random.integers(1, 3)), 4, *(int(side) for side in random.integers(2, 9, space))]


KINDS = {
    **dict.fromkeys(("Add", "Div", "Max", "PRelu", "Pow", "Sub"), _pairs),
    **dict.fromkeys(("ReduceL2", "ReduceMax", "ReduceMean"), _reduction),
    "AveragePool": _average_pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "MatMul": _batched,
    "MaxPool": _pool,
    "Pad": _pad,
    "Slice": _slice,
    "Softmax": _softmax,
}


def model_of(kind: str, parts: Parts, opset: int, answers: int = 0) -> onnx.ModelProto:
    """Return the file of one op; with the rank of its answer, which files declare."""
    options, weights, shape = parts
    arrays = {n: v if v.dtype == np.int64 else v.astype(np.float32) for n, v in weights.items()}
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", *arrays], ["y"], name="it", **options)],
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * answers)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("kind", KINDS)
def test_random_files_are_read_as_onnx_runtime_reads_them(kind: str) -> None:
    random = np.random.default_rng(sum(map(ord, kind)))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    read = 0
    for _ in range(EACH):
        opset = int(random.integers(7, 22))
        parts = KINDS[kind](random, opset)
        x = np.ones(parts[2], np.float32)
        content = model_of(kind, parts, opset).SerializeToString()
        try:
            (answer,) = ort.InferenceSession(content, options).run(None, {"x": x})
        except failures():
            continue  # the file is none that anybody could run
        if not answer.size:
            continue
        try:
            IMPORTER.load(model_of(kind, parts, opset, answer.ndim).SerializeToString())
        except ConfigError as refusal:
            assert f"{kind} (it): " in str(refusal) and "cannot be read" not in str(refusal)
        else:
            read += 1
    assert read >= EACH // 4, "hardly any file was read: the test shows nothing"
