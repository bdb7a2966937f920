"""Export: the graph's form, its parity, and that nothing is written when it fails."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from juggler import flatten
from juggler.errors import ConfigError, JugglerError, ParityError
from juggler.nouns import TensorSpec
from juggler.runtime import IMPORTERS, open_session
from juggler.runtime.export import OPSET, export
from juggler.runtime.modules import record_ends
from juggler.runtime.onnx_graphs.metadata import join, split


def chain() -> nn.Module:
    torch.manual_seed(0)
    parts: list[nn.Module] = [
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, 1, 1),
        nn.ReLU(),
    ]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


class Two(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return a + b, a * b


class Calling(nn.Module):
    """Apply a function after a linear layer."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.linear(x))


class Failing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise KeyError("nothing")


def test_a_flat_chain_exports_as_a_plain_chain() -> None:
    for module in (chain(), fx.symbolic_trace(chain())):
        model = onnx.load_from_string(export(module, torch.randn(1, 3, 9, 9)))
        kinds = [node.op_type for node in model.graph.node]
        assert kinds == ["Conv", "Relu", "MaxPool", "Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
        assert model.opset_import[0].version == OPSET
        assert [v.name for v in (*model.graph.input, *model.graph.output)] == ["input", "output"]
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_metadata_travel_and_nothing_of_the_machine_does(tmp_path: Path) -> None:
    model = export(chain(), torch.randn(1, 3, 9, 9), metadata={"a": "ä", "b": ""})
    proto = onnx.load_from_string(model)
    assert {p.key: p.value for p in proto.metadata_props} == {"a": "ä", "b": ""}
    assert str(Path.cwd()).encode() not in model
    assert b".py" not in model
    rest, metadata = split(model)
    assert metadata == {"a": "ä", "b": ""}
    assert join(rest, metadata) == model
    again = onnx.load_from_string(join(rest, {"c": "x" * 300}))
    assert {p.key: p.value for p in again.metadata_props} == {"c": "x" * 300}
    assert again.graph == proto.graph


def test_a_path_is_written_whole_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "chain.onnx"
    assert export(chain(), np.zeros((1, 3, 9, 9), np.float32), path) == path
    assert path.read_bytes() == export(chain(), torch.randn(1, 3, 9, 9))
    assert [p.name for p in tmp_path.iterdir()] == ["chain.onnx"]
    assert path.stat().st_mode & 0o400
    with pytest.raises(ConfigError, match="write "):
        export(chain(), torch.randn(1, 3, 9, 9), path / "chain.onnx")


def test_constants_are_folded() -> None:
    module = Calling(lambda x: functional.pad(x, (1, 2)) * 3.0).eval()
    model = onnx.load_from_string(export(module, torch.randn(1, 4)))
    assert [node.op_type for node in model.graph.node] == ["Gemm", "Pad", "Mul"]


def test_several_inputs_and_outputs_are_numbered() -> None:
    model = export(Two().eval(), (torch.randn(1, 3), torch.randn(1, 3)))
    with open_session(model) as session:
        assert [s.name for s in session.inputs] == ["input_0", "input_1"]
        assert [s.name for s in session.outputs] == ["output_0", "output_1"]
        ones, twos = np.full((2, 3), 1, np.float32), np.full((2, 3), 2, np.float32)
        total, product = session.run(ones, twos)
        assert (total == 3).all()
        assert (product == 2).all()


def test_the_module_is_left_as_it_was() -> None:
    module = chain()
    before = copy.deepcopy(module.state_dict())
    export(module, torch.randn(1, 3, 9, 9))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(value.requires_grad for value in module.parameters())


def test_a_graph_that_differs_is_not_written(tmp_path: Path) -> None:
    calls: list[int] = []

    def counting(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return x + len(calls)

    module = Calling(counting).eval()
    module.__deepcopy__ = lambda memo: module  # type: ignore[attr-defined]
    with pytest.raises(ParityError, match=r"relative error .* Nothing was written"):
        export(module, torch.randn(2, 4), tmp_path / "bad.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("function", "error", "found"),
    [
        (lambda x: x if x.sum() > 0 else -x, ConfigError, "neither exporter"),
        (lambda x: x.reshape(2, 4) if x.shape[0] == 2 else x, ParityError, "does not run"),
    ],
)
def test_what_branches_on_its_input_is_refused(
    function: Callable[[torch.Tensor], torch.Tensor], error: type[JugglerError], found: str
) -> None:
    with pytest.raises(error, match=found):
        export(Calling(function).eval(), torch.randn(2, 4))


def test_a_number_taken_from_the_input_is_not_frozen() -> None:
    module = Calling(lambda x: x + float(x.mean())).eval().requires_grad_(False)
    array = np.full((3, 4), 2.0, np.float32)
    with open_session(export(module, torch.randn(2, 4))) as session:
        found = session.run(array)[0]
    assert np.abs(found - module(torch.from_numpy(array)).detach().numpy()).max() <= 1e-5


def test_nan_is_no_parity() -> None:
    module = nn.Sequential(nn.Linear(4, 4)).eval()
    nn.init.constant_(module[0].weight, float("nan"))  # type: ignore[arg-type]
    with pytest.raises(ParityError, match="error of nan"):
        export(module, torch.randn(1, 4))


@pytest.mark.parametrize(
    ("module", "example", "found"),
    [
        (nn.Sequential(nn.Linear(4, 4)), torch.randn(1, 4), "training mode"),
        (nn.Linear(4, 4).double().eval(), torch.randn(1, 4).double(), "float64"),
        (nn.Linear(4, 4).eval(), "text", "str"),
        (nn.Linear(4, 4).eval(), torch.zeros(0, 4), r"\[0, 4\]"),
        (nn.Linear(4, 4).eval(), (), "empty tuple"),
        (Calling(lambda x: {}).eval(), torch.randn(1, 4), "a dict without a tensor"),  # type: ignore[arg-type, return-value]
        (Calling(lambda x: [x, 3]).eval(), torch.randn(1, 4), "a list that holds int"),  # type: ignore[arg-type, return-value]
        (Calling(lambda x: x.to_sparse()).eval(), torch.randn(1, 4), "sparse"),
        (nn.Sequential(nn.LazyLinear(4)).eval(), torch.randn(1, 4), "does not know its size"),
        (nn.Linear(4, 4, device="meta").eval(), torch.randn(1, 4), "without values"),
        (torch.jit.script(nn.Linear(4, 4)).eval(), torch.randn(1, 4), "cannot be copied"),
        (nn.Sequential(nn.Linear(4, 4), Failing()).eval(), torch.randn(1, 4), r"fails in 1 \('nothing'\)"),
        (Calling(functional.gelu).eval(), torch.randn(1, 3), r"shape \[1, 3\] it fails"),
    ],
)
def test_what_cannot_be_exported_is_refused(module: nn.Module, example: object, found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        export(module, example)


def test_no_noise(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export(chain(), torch.randn(1, 3, 9, 9))
    captured = capfd.readouterr()
    assert (captured.out, captured.err, caplog.text) == ("", "", "")


def test_what_cannot_be_traced_is_captured(capfd: pytest.CaptureFixture[str]) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(3), nn.ReLU()).eval()
    example = torch.randn(1, 3, 7, 7)
    model = export(module, example)
    assert capfd.readouterr() == ("", "")
    assert b".py" not in model
    with open_session(model) as session:
        found = session.run(example.numpy())[0]
    wanted = module(example).detach().numpy()
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda x: (x, None), ["output"]),
        (lambda x: {"logits": x, "aux": x * 2, "none": None}, ["logits", "aux"]),
        (lambda x: {"a": [x, x + 1], "b": (x * 2,)}, ["a.0", "a.1", "b.0"]),
        (lambda x: {"class": x, "input": x * 2}, ["class", "output_input"]),
        (lambda x: (x > 0, x.argmax(1)), ["output_0", "output_1"]),
        (lambda x: torch.where(x > 0, x, torch.tensor(float("-inf"))), ["output"]),
    ],
)
def test_outputs_are_named_and_compared_whatever_holds_them(
    function: Callable[[torch.Tensor], torch.Tensor], names: list[str]
) -> None:
    with open_session(export(Calling(function).eval(), torch.randn(1, 4))) as session:
        assert [spec.name for spec in session.outputs] == names
        assert len(session.run(np.zeros((2, 4), np.float32))) == len(names)


def test_an_input_that_nothing_reads_stays() -> None:
    class First(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a * 2

    with open_session(export(First().eval(), (torch.randn(1, 3), torch.randn(1, 5)))) as session:
        assert [(spec.name, spec.shape) for spec in session.inputs] == [
            ("input_0", (None, 3)),
            ("input_1", (None, 5)),
        ]


def test_a_file_keeps_its_names_and_its_free_sizes() -> None:
    model = onnx.load_from_string(export(nn.Conv2d(3, 4, 3, padding=1).eval(), torch.randn(1, 3, 8, 8)))
    model.graph.node[0].input[0] = model.graph.input[0].name = "pixels"
    model.graph.node[0].output[0] = model.graph.output[0].name = "map"
    for value in (model.graph.input[0], model.graph.output[0]):
        for axis in (2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"side_{axis}"
    network = IMPORTERS.get("onnx").load(model.SerializeToString())
    flat = flatten(network, torch.randn(1, 3, 8, 8)).model
    for written in (export(network, torch.randn(1, 3, 8, 8)), export(flat, torch.randn(1, 3, 8, 8))):
        with open_session(written) as session:
            assert [(spec.name, spec.shape) for spec in session.inputs] == [("pixels", (None, 3, None, None))]
            assert [spec.name for spec in session.outputs] == ["map"]
            assert session.run(np.zeros((2, 3, 11, 6), np.float32))[0].shape == (2, 4, 11, 6)


def test_a_free_size_that_is_lost_is_told() -> None:
    class OneSide(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.ones(8)

    network = fx.symbolic_trace(OneSide()).eval()
    record_ends(network, [TensorSpec("x", (1, None), "float32")], [TensorSpec("y", (1, None), "float32")])
    with pytest.warns(RuntimeWarning, match=r"free in the file .* fixed in the graph written: x \[8\]"):
        written = export(network, torch.randn(1, 8))
    with open_session(written) as session:
        assert [(spec.name, spec.shape) for spec in session.inputs] == [("x", (1, 8))]


def test_weights_that_no_file_holds_are_refused_before_the_work() -> None:
    with torch.device("meta"):
        weight = torch.empty(2**29 + 1)

    class Large(nn.Module):
        def named_parameters(self, *args: object, **options: object):  # type: ignore[no-untyped-def]
            yield "weight", torch.empty(1).expand(weight.shape)

    with pytest.raises(ConfigError, match=r"2\.00 GiB"):
        export(Large().eval(), torch.randn(1, 4))
