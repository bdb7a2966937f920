"""The kernels that ONNX Runtime runs are read whole, quickly, and as from the real file."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from juggler.errors import ArtefactError, ConfigError
from juggler.models import create
from juggler.predict.extract.kernels import extract_kernels
from juggler.predict.graphs.sources import open_graph_structure
from juggler.predict.graphs.structure import graph_structure_of, with_placeholder_weights
from juggler.runtime.export import draft, outline
from juggler.runtime.onnx_graphs.structure import read_structure


class Branched(nn.Module):
    """Branches that read one map through equal sizes, a sum, a concat, a shuffle, a gate, a dense end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.a = nn.Conv2d(16, 16, 3, padding=1)
        self.b = nn.Conv2d(16, 16, 3, padding=1)
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16))
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(32, 32, 1), nn.Sigmoid())
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[batch, 10]`."""
        x = self.stem(x)
        x = torch.relu(self.a(x) + self.b(x))
        x = torch.cat([self.depthwise(x), x], 1)
        b, c, h, w = x.shape
        x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
        x = self.pool(x * self.gate(x))
        return torch.softmax(self.head(x.mean((2, 3))), 1)


SHAPE = (3, 20, 20)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Branched().eval()


@pytest.fixture(scope="module")
def graph(model: nn.Module) -> bytes:
    return draft(model, torch.randn(1, *SHAPE))


def test_kernels_are_those_that_are_fused(model: nn.Module) -> None:
    extracted = extract_kernels(model, shape=SHAPE, batch=2)
    families = Counter(kernel.spec.family for kernel in extracted.kernels)
    assert families["conv"] == 4 and families["depthwise"] == 1 and families["dense"] == 1
    stem, *_ = extracted.kernels
    assert (stem.spec.activation, stem.spec.layout, stem.spec.bias) == ("relu", "nchw", True)
    assert (stem.spec.batch, stem.spec.out_height) == (2, 10)
    sums = [kernel.spec for kernel in extracted.kernels if kernel.spec.adds]
    assert len(sums) == 1 and sums[0].activation == "relu" and sums[0].layout == "blocked"
    pool = next(kernel.spec for kernel in extracted.kernels if kernel.spec.family == "pool")
    assert (pool.height, pool.out_height, pool.kind) == (10, 6, "max")
    assert not extracted.uncovered and extracted.nodes == len(extracted.kernels) + extracted.free


def test_stand_ins_for_weights_change_nothing(model: nn.Module, graph: bytes, monkeypatch) -> None:
    """Branches of equal sizes must not be merged, which the runtime does where weights are equal too."""
    outlined = extract_kernels(model, shape=SHAPE, batch=3)
    exported = extract_kernels(graph, batch=3)
    monkeypatch.setattr(
        "juggler.predict.extract.runtimes.onnxruntime.with_placeholder_weights", lambda _, **__: graph
    )
    real = extract_kernels(graph, batch=3)
    assert len(real.kernels) > 10
    counted = [Counter(k.spec.digest for k in network.kernels) for network in (outlined, exported, real)]
    assert counted[0] == counted[1] == counted[2]


def test_work_is_that_of_the_layers(model: nn.Module) -> None:
    macs = sum(kernel.spec.macs for kernel in extract_kernels(model, shape=SHAPE).kernels)
    by_hand = 10 * 10 * 16 * (3 * 9 + 16 * 9 + 16 * 9 + 9) + 32 * 32 + 32 * 10
    assert macs == by_hand


def test_sizes_that_the_graph_computes_itself_are_known(graph: bytes) -> None:
    model = graph_structure_of(graph, ()).sized((5, *SHAPE))
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.value_info}
    assert [5, 2, 16, 10, 10] in shapes.values()
    assert all(all(shape) for shape in shapes.values())


def test_what_no_kernel_describes_is_listed() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return two cumulative sums."""
            return torch.cumsum(torch.cumsum(torch.relu(x), 2), 3)

    extracted = extract_kernels(Odd().eval(), shape=(2, 4, 4))
    (missed,) = extracted.uncovered
    assert (missed.op, missed.count) == ("CumSum", 2) and missed.bytes >= 2 * 2 * 4 * 32
    assert [kernel.op for kernel in extracted.kernels] == ["Relu"]


def test_a_slice_reads_what_it_writes() -> None:
    class Half(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return half of the channels, seen through a sum that nothing folds away."""
            return torch.relu(x)[:, :4] + 1.5

    found = extract_kernels(Half().eval(), shape=(8, 4, 4), batch=2)
    (copy,) = [kernel.spec for kernel in found.kernels if kernel.op == "Slice"]
    assert (copy.family, copy.kind, found.uncovered) == ("concat", "slice", ())
    assert copy.input_bytes == copy.output_bytes == 2 * 4 * 4 * 4 * 4


def test_structure_leaves_weights_and_keeps_sizes(graph: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(graph)
    structure, model = read_structure(path), onnx.load(path)
    assert [node.SerializeToString() for node in structure.graph.node] == [
        node.SerializeToString() for node in model.graph.node
    ]
    pairs = list(zip(structure.graph.initializer, model.graph.initializer, strict=True))
    assert all((a.name, list(a.dims), a.data_type) == (b.name, list(b.dims), b.data_type) for a, b in pairs)
    assert any(not a.raw_data and b.raw_data for a, b in pairs)
    assert read_structure(graph) == structure
    assert len(structure.SerializeToString()) < len(graph) / 2


@pytest.mark.parametrize("content", [b"", b"\x08", b"not a model at all", bytes(100)])
def test_what_is_no_model_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(ArtefactError, match="structure"):
            read_structure(source)


def test_a_file_that_is_cut_off_is_told(graph: bytes) -> None:
    for end in np.linspace(1, len(graph) - 1, 40, dtype=int):
        with pytest.raises(ArtefactError):
            extract_kernels(graph[:end])


def test_dressed_for_a_session_it_runs(graph: bytes) -> None:
    import onnxruntime as ort  # noqa: PLC0415

    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        with_placeholder_weights(graph_structure_of(graph, ()).model),
        options,
        providers=["CPUExecutionProvider"],
    )
    (out,) = session.run(None, {"input": np.ones((2, *SHAPE), np.float32)})
    assert out.shape == (2, 10)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": 0}, "a batch of 0"),
        ({"shape": (3, 20)}, "any"),
        ({"shape": (4, 20, 20)}, "4, 20, 20"),
        ({"backend": "onnxrun"}, "onnxruntime"),
    ],
)
def test_wrong_questions_are_told(graph: bytes, options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        extract_kernels(graph, **options)


def test_a_graph_of_two_inputs_is_told() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            """Return the sum."""
            return torch.relu(x + y)

    graph = draft(Two().eval(), (torch.ones(1, 2), torch.ones(1, 2)))
    with pytest.raises(ConfigError, match="2 inputs"):
        extract_kernels(graph)


def test_an_outline_holds_no_weight() -> None:
    shared = nn.Linear(8, 8)
    network = nn.Sequential(shared, nn.ReLU(), shared, nn.BatchNorm1d(8)).eval()
    model = outline(network, torch.ones(1, 8))
    assert not model.graph.initializer
    inputs = {value.name for value in model.graph.input}
    assert {"input", "0.weight", "0.bias"} <= inputs and "2.weight" not in inputs
    assert extract_kernels(network, shape=(8,)).weight_bytes >= 2 * 4 * 72
    with pytest.raises(ConfigError, match="training"):
        outline(nn.Sequential(nn.ReLU()).train(), torch.ones(1))


def test_named_networks_are_read_as_those_with_weights() -> None:
    structure, shape = open_graph_structure("resnet18", (3, 32, 32))
    of_structure = extract_kernels(structure, shape=shape)
    of_module = extract_kernels(create("resnet18").eval(), shape=shape)
    assert [kernel.spec for kernel in of_structure.kernels] == [kernel.spec for kernel in of_module.kernels]
    assert of_structure.network == "resnet18" and of_structure.weight_bytes > 40e6


def test_the_names_of_the_last_release_still_work():
    kernels = importlib.import_module("juggler.predict.extract.kernels")
    with pytest.warns(DeprecationWarning, match="is now .*extract_kernels"):
        assert kernels.read_kernels is extract_kernels
    with pytest.warns(DeprecationWarning, match="is now .*ExtractedKernels"):
        assert kernels.Reading.__name__ == "ExtractedKernels"
    timing = importlib.import_module("juggler.predict.campaign.timing")
    with pytest.warns(DeprecationWarning, match="is now .*UnsupportedKernel"):
        assert timing.Unfit is timing.UnsupportedKernel
