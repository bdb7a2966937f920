"""The ONNX importer: round trips of networks with every op that it knows, and what it refuses."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper
from torch import fx, nn
from torch.nn import functional

from juggler.errors import ConfigError
from juggler.runtime.export import export
from juggler.runtime.importers.onnx import IMPORTER
from juggler.runtime.onnx_graphs.ends import ends
from juggler.runtime.session import IMPORTERS


class Residual(nn.Module):
    def __init__(self, wide: int, out: int, stride: int) -> None:
        super().__init__()
        self.one, self.norm_one = nn.Conv2d(wide, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.two, self.norm_two = nn.Conv2d(out, out, 3, 1, 1, groups=2), nn.BatchNorm2d(out)
        self.side = nn.Conv2d(wide, out, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norm_one(self.one(x)))
        return functional.relu(self.norm_two(self.two(y)) + self.side(x))


class Small(nn.Module):
    """A small residual network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 4, 7, 2, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.blocks = nn.Sequential(Residual(4, 4, 1), Residual(4, 8, 2))
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem(x))
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


class Odd(nn.Module):
    """Every other op that exporters write for convolutional networks."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 2, 3, padding=2, dilation=2)
        self.pool, self.drop = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False), nn.Dropout()
        self.register_buffer("scale", torch.randn(1, 6, 1, 1))
        self.last = nn.Linear(6, 7, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.left(x), self.right(x)], 1) * self.scale
        x = functional.relu6(functional.pad(x, (1, 0, 2, 1)))
        x = self.drop(self.pool(x)) * torch.sigmoid(x.mean((2, 3), keepdim=True))
        x = functional.hardtanh(x, -0.5, 2.0).mean((2, 3))
        return functional.softmax(self.last(x) + 0.25, dim=1)


class Viewing(nn.Module):
    """Flatten by hand, as much of the field does; the shape is five nodes in ONNX."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 9 * 9, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return self.head(x.view(x.size(0), -1))


class Shuffling(nn.Module):
    """A chunk, and a channel shuffle by hand: ONNX computes with their sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, two = torch.chunk(self.conv(x), 2, dim=1)
        n, c, h, w = (x := torch.cat([two, one], 1)).size()
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, (c - 2) * 2 - 2, h, w)


def randomised(module: nn.Module) -> nn.Module:
    """Draw every batch-norm statistic, so that a lost one shows."""
    generator = torch.Generator().manual_seed(3)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for value in (part.weight.data, part.running_var):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            for value in (part.bias.data, part.running_mean):
                value.copy_(torch.randn(value.shape, generator=generator))
    return module.eval()


def error(wanted: torch.Tensor, found: torch.Tensor) -> float:
    return float(((wanted - found).abs().max() / wanted.abs().max()).detach())


@pytest.mark.parametrize("kind", [Small, Odd, Viewing, Shuffling])
def test_round_trip(kind: type[nn.Module]) -> None:
    torch.manual_seed(1)
    module = randomised(kind())
    imported = IMPORTER.load(export(module, torch.randn(2, 3, 11, 11)))
    assert isinstance(imported, fx.GraphModule)
    assert not imported.training
    with torch.inference_mode():
        for batch in (1, 4):
            x = torch.randn(batch, 3, 11, 11)
            assert error(module(x), imported(x)) <= 1e-6


@pytest.mark.parametrize("kind", [Small, Odd, Viewing])
def test_a_second_round_trip_is_exact_in_float64(kind: type[nn.Module]) -> None:
    # The first export folds batch norms in float32; from then on nothing may change any more.
    torch.manual_seed(2)
    first = IMPORTER.load(export(randomised(kind()), torch.randn(2, 3, 11, 11)))
    second = IMPORTER.load(export(first, torch.randn(2, 3, 11, 11)))
    x = torch.randn(3, 3, 11, 11, dtype=torch.float64)
    with torch.inference_mode():
        assert error(copy.deepcopy(first).double()(x), second.double()(x)) <= 1e-12


def test_batch_norm_is_kept_where_the_graph_has_it() -> None:
    torch.manual_seed(4)
    module = randomised(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 3)))
    model = export(module, torch.randn(2, 3, 5, 5))
    imported = IMPORTER.load(model)
    assert [type(part) for part in imported.children()] == [nn.BatchNorm2d, nn.ReLU, nn.Conv2d]
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    assert error(module.double()(x), imported.double()(x)) <= 1e-12


def test_plain_modules_come_out() -> None:
    imported = IMPORTER.load(export(randomised(Small()), torch.randn(1, 3, 32, 32)))
    kinds = {type(part) for part in imported.children()}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear}
    assert IMPORTERS.get("onnx") is IMPORTER


def model_of(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: list[int | str], opset: int = 17
) -> bytes:
    """Make a model of nodes that lead from `input` to `output`."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    content: bytes = onnx.shape_inference.infer_shapes(model).SerializeToString()
    return content


def node(kind: str, *inputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, ["output"], name=f"the_{kind.lower()}", **attributes)


X = np.random.default_rng(0).standard_normal((2, 3, 6, 5), dtype=np.float32)
W = np.random.default_rng(1).standard_normal((4, 3, 3, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("made", "weights"),
    [
        (node("Conv", "input", "w", pads=[0, 1, 2, 3], strides=[2, 1]), {"w": W}),
        (node("Conv", "input", "w", auto_pad="VALID"), {"w": W}),
        (node("MaxPool", "input", kernel_shape=[3, 2], pads=[0, 1, 2, 0], strides=[2, 1]), {}),
        (node("AveragePool", "input", kernel_shape=[3, 3], pads=[1, 1, 0, 0], count_include_pad=1), {}),
        (node("AveragePool", "input", kernel_shape=[3, 3], pads=[1, 1, 1, 1]), {}),
        (node("ReduceMean", "input", axes=[-1, -2], keepdims=1), {}),
        (node("ReduceMean", "input", axes=[1], keepdims=0), {}),
        (node("Pad", "input", "p"), {"p": np.array([0, 0, 1, 2, 0, 0, 3, 0])}),
        (node("Clip", "input", "low"), {"low": np.array(0.0, np.float32)}),
        (node("Clip", "input", "", "high"), {"high": np.array(0.5, np.float32)}),
        (node("Reshape", "input", "s"), {"s": np.array([-1, 90])}),
        (node("Reshape", "input", "s"), {"s": np.array([0, 9, 10])}),
        (node("Softmax", "input", axis=1), {}),
        (node("MatMul", "input", "m"), {"m": X[0, 0, :5, :4].copy()}),
        (node("Mul", "input", "m"), {"m": X[0, :, :1, :1].copy()}),
        (node("Identity", "input"), {}),
    ],
)
def test_ops_agree_with_onnx_runtime(made: onnx.NodeProto, weights: dict[str, np.ndarray]) -> None:
    model = model_of([made], weights, ["batch", 3, 6, 5])
    wanted = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"input": X})[0]
    found = IMPORTER.load(model)(torch.from_numpy(X.copy())).detach().numpy()
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_with_factors(transposed: int) -> None:
    b, c = W.reshape(4, 27)[:, :5].copy(), W.reshape(-1)[:4].copy()
    made = node("Gemm", "input", "b", "c", alpha=0.5, beta=2.0, transB=transposed)
    model = model_of([made], {"b": b if transposed else b.T.copy(), "c": c}, ["batch", 5])
    x = X.reshape(-1, 5)
    wanted = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"input": x})[0]
    found = IMPORTER.load(model)(torch.from_numpy(x.copy())).detach().numpy()
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("made", "weights", "reason"),
    [
        (node("Conv", "input", "input"), {}, "not a constant"),
        (node("Hardmax", "input"), {}, "no handle"),
    ],
)
def test_what_has_no_equal_is_refused(
    made: onnx.NodeProto, weights: dict[str, np.ndarray], reason: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{made.op_type} \({made.name}\): .*{reason}"):
        IMPORTER.load(model_of([made], weights, ["batch", 3, 6, 5]))


def test_all_refusals_are_named_at_once() -> None:
    nodes = [
        helper.make_node("Hardmax", ["input"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="fine"),
        helper.make_node("Shrink", ["b"], ["output"], name="second"),
    ]
    with pytest.raises(ConfigError, match=r"2 nodes .*Hardmax \(first\).*Shrink \(second\)"):
        IMPORTER.load(model_of(nodes, {}, ["batch", 3, 3]))


def test_ends_are_those_of_the_model() -> None:
    inputs, outputs = ends(export(nn.Linear(4, 2).eval(), torch.randn(1, 4)))
    assert [(s.name, s.shape, s.dtype) for s in inputs] == [("input", (None, 4), "float32")]
    assert [(s.name, s.shape, s.dtype) for s in outputs] == [("output", (None, 2), "float32")]
