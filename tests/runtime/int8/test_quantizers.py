"""What every quantising tool must do; all that the registry finds are run, and the absent says so."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from juggler.errors import ConfigError, Unavailable
from juggler.runtime.export import export
from juggler.runtime.int8.quantization import QUANTIZERS, prepare, quantize, quantize_prepared
from juggler.runtime.open import open_session
from juggler.runtime.precision import deviation, is_quantized
from juggler.runtime.session import Array

SHAPE = (2, 6, 5)
TOOLS = QUANTIZERS.names()
HERE = [name for name, tool in QUANTIZERS if tool.status().available]


def drawn(seed: int, rows: int = 32, shape: tuple[int, ...] = SHAPE) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, *shape), dtype=np.float32)


def network() -> nn.Module:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    torch.nn.init.normal_(norm.running_mean)
    parts = [nn.Conv2d(2, 8, 3, padding=1), norm, nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval()


@pytest.fixture(scope="module")
def graph() -> bytes:
    return export(network(), torch.zeros(2, *SHAPE), metadata={"a.key": "its value"})


def test_the_tools_are_found_and_onnx_runtimes_is_there() -> None:
    assert {"onnxruntime", "nncf"} <= {*TOOLS}
    assert "onnxruntime" in HERE


@pytest.mark.parametrize("name", TOOLS)
def test_a_status_tells_the_release_or_how_to_get_it(name: str, graph: bytes) -> None:
    tool = QUANTIZERS.get(name)
    status = tool.status()
    assert tool.name == name
    if status.available:
        assert status.version and status.missing is None
    else:
        assert status.missing and status.remedy and "pip install" in status.remedy
        with pytest.raises(Unavailable, match="not installed"):
            quantize(graph, drawn(1), tool=name)


@pytest.mark.parametrize("name", HERE)
def test_ends_batch_and_metadata_stay_and_it_is_near(
    name: str, graph: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    int8 = quantize(graph, drawn(1), tool=name)
    assert capfd.readouterr() == ("", "")
    assert is_quantized(int8)
    (entry,) = onnx.load_from_string(int8).metadata_props
    assert (entry.key, entry.value) == ("a.key", "its value")
    for backend in ("onnxruntime", "openvino"):
        with open_session(graph, backend) as exact, open_session(int8, backend, precision="int8") as other:
            assert (exact.inputs, exact.outputs) == (other.inputs, other.outputs)
            noise_db = deviation(exact, other, drawn(2)).signal_to_noise_db
            assert noise_db is not None and noise_db > 25.0


@pytest.mark.parametrize("name", HERE)
def test_weights_are_eight_bits_with_a_scale_a_channel(name: str, graph: bytes) -> None:
    model = onnx.load_from_string(quantize(graph, drawn(1), tool=name)).graph
    stored = {tensor.name: tensor for tensor in model.initializer}
    makers = {end: node for node in model.node for end in node.output}
    heavy = [node for node in model.node if node.op_type in ("Conv", "Gemm")]
    assert [node.op_type for node in heavy] == ["Conv", "Conv", "Gemm"]
    for node in heavy[:2]:
        feature, weight = (makers[name] for name in node.input[:2])
        assert feature.op_type == weight.op_type == "DequantizeLinear"
        assert stored[weight.input[0]].data_type == onnx.TensorProto.INT8
        assert list(stored[weight.input[1]].dims) == [8]


@pytest.mark.parametrize("name", HERE)
def test_runtimes_compute_what_the_ops_are_defined_as(name: str, graph: bytes) -> None:
    """The reference evaluator is the definition in numpy; what differs is the rounding at half steps."""
    int8 = quantize(graph, drawn(1), tool=name)
    array, model = drawn(2), onnx.load_from_string(int8)
    next(entry for entry in model.opset_import if not entry.domain).version = 19
    wanted = ReferenceEvaluator(model).run(None, {"input": array})[0]
    for backend in ("onnxruntime", "openvino"):
        with open_session(int8, backend, precision="int8", threads=1) as session:
            assert np.abs(session.run(array)[0] - wanted).max() <= 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("name", HERE)
def test_spared_layers_keep_their_weights(name: str, graph: bytes) -> None:
    prepared, tool = prepare(graph, drawn(1)), QUANTIZERS.get(name)
    layers = [node for node in prepared.model.graph.node if node.op_type in ("Conv", "Gemm")]
    before = prepared.model.SerializeToString()
    model = onnx.load_from_string(quantize_prepared(prepared, tool, float_layers=[layers[1].name])).graph
    assert prepared.model.SerializeToString() == before
    stored = {tensor.name: tensor.data_type for tensor in model.initializer}
    found = {node.name: stored.get(node.input[1]) for node in model.node if node.op_type in ("Conv", "Gemm")}
    assert found == {layers[0].name: None, layers[1].name: onnx.TensorProto.FLOAT, layers[2].name: None}


@pytest.mark.parametrize("name", HERE)
def test_seven_bits_of_weights_are_farther_off(name: str, graph: bytes) -> None:
    noises = []
    for reduce_range in (True, False):
        int8 = quantize(graph, drawn(1), tool=name, reduce_range=reduce_range)
        with open_session(graph) as exact, open_session(int8) as other:
            noises.append(deviation(exact, other, drawn(5)).signal_to_noise_db)
    assert noises[0] is not None and noises[1] is not None
    assert 15.0 < noises[0] < noises[1]


@pytest.mark.parametrize("name", HERE)
def test_sizes_that_are_free_stay_free(name: str, graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    for place, size in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = size
    del model.graph.value_info[:]
    int8 = quantize(model.SerializeToString(), drawn(1), tool=name)
    with open_session(graph) as exact, open_session(int8) as other:
        assert other.inputs[0].shape == (None, 2, None, None)
        assert other.run(drawn(1, 2, (2, 9, 7)))[0].shape == (2, 3)
        noise_db = deviation(exact, other, drawn(2)).signal_to_noise_db
    assert noise_db is not None and noise_db > 25.0


@pytest.mark.parametrize(
    ("options", "found"),
    [({"tool": "nonsense"}, "there is none"), ({"float_layers": ["nonsense"]}, "no node 'nonsense'")],
)
def test_what_is_not_there_is_named(graph: bytes, options: dict[str, object], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        quantize(graph, drawn(1), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [torch.zeros(4, *SHAPE), [[1.0, 2.0]], np.array(["text"]), np.array(1.0)])
def test_inputs_that_are_no_arrays_of_numbers_are_refused(graph: bytes, given: object) -> None:
    with pytest.raises(ConfigError, match=r"inputs of type|no calibration inputs"):
        quantize(graph, given)  # type: ignore[arg-type]


def test_without_nncf_it_says_how_to_get_it() -> None:
    code = """
import sys
import numpy as np
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "nncf":
            raise ImportError(name)
sys.meta_path.insert(0, Block())
from juggler.errors import Unavailable
from juggler.extras import install_command
from juggler.runtime.int8.quantization import QUANTIZERS, quantize
assert not QUANTIZERS.get("nncf").status().available
try:
    quantize(b"", np.zeros((1, 2), dtype=np.float32), tool="nncf")
except Unavailable as error:
    assert "not installed: nncf" in str(error) and install_command("int8") in str(error), error
else:
    raise SystemExit("it was not refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", HERE)
def test_biases_that_are_equal_are_mended_apart(name: str) -> None:
    """Folding makes equal biases one tensor, and NNCF changes it for one layer: 23 dB instead of 40."""
    torch.manual_seed(0)
    convs = [nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)]
    for conv in convs:
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    parts = [part for conv in convs for part in (conv, nn.ReLU())]
    equal = export(
        nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(), torch.zeros(2, *SHAPE)
    )
    model = prepare(equal, drawn(1)).model
    biases = [node.input[2] for node in model.graph.node if node.op_type == "Conv"]
    assert len(biases) == len({*biases}) == 3
    onnx.checker.check_model(model, full_check=True)
    with open_session(equal) as exact, open_session(quantize(equal, drawn(1), tool=name)) as other:
        noise_db = deviation(exact, other, drawn(2)).signal_to_noise_db
    assert noise_db is not None and noise_db > 30.0
