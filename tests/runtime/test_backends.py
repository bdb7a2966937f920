"""Every backend of the registry, held to the contract; and what is particular to each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from contracts_backends import Network, check_precisions, check_session, check_status, draw
from juggler.errors import ArtefactError, ConfigError, Unavailable
from juggler.packages import BackendStatus
from juggler.runtime.backends.openvino import OpenVinoSession
from juggler.runtime.export import export
from juggler.runtime.open import open_session
from juggler.runtime.session import BACKENDS


def test_the_registry_finds_every_file() -> None:
    assert BACKENDS.names() == ("onnxruntime", "openvino", "tensorrt", "torch_compile", "torch_eager")
    assert all(backend.name == name for name, backend in BACKENDS)


@pytest.mark.parametrize("name", BACKENDS.names())
def test_status_is_truthful(name: str) -> None:
    check_status(BACKENDS.get(name))


@pytest.mark.parametrize("name", BACKENDS.names())
def test_sessions_keep_the_contract(name: str) -> None:
    backend = BACKENDS.get(name)
    network = Network.tiny()
    if backend.status().available:
        check_session(backend, network)
    else:
        with pytest.raises(Unavailable, match="To mend it"):
            open_session(network.module, name, example=network.example)


@pytest.mark.parametrize("name", BACKENDS.names())
def test_precisions_keep_the_contract(name: str) -> None:
    backend = BACKENDS.get(name)
    if backend.status().available:
        check_precisions(backend, Network.tiny())
    else:
        assert backend.precisions() == ()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch_eager"])
def test_onnx_and_module_give_the_same(name: str, tmp_path: Path) -> None:
    network = Network.tiny()
    path = export(network.module, network.example, tmp_path / "tiny.onnx")
    wanted = network.reference(draw(3))
    for model in (path, str(path), path.read_bytes(), network.module):
        with open_session(model, name, example=network.example) as session:
            assert np.abs(session.run(draw(3))[0] - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch_eager"])
def test_what_is_no_model_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_text("a text")
    for model, found in [
        (tmp_path / "none.onnx", "no such file"),
        (tmp_path / "empty.onnx", "empty"),
        (tmp_path / "text.onnx", "text.onnx"),
        (b"", "no bytes"),
        (b"\x08\x07garbage", "ONNX bytes"),
    ]:
        with pytest.raises(ArtefactError, match=found):
            open_session(model, name)


def test_options_that_cannot_work_are_refused() -> None:
    network = Network.tiny()
    with pytest.raises(ConfigError, match="onnxruntime"):
        open_session(network.module, "onnxruntme", example=network.example)
    with pytest.raises(ConfigError, match="threads=0"):
        open_session(network.module, example=network.example, threads=0)
    with pytest.raises(ConfigError, match="no example"):
        open_session(network.module)
    with pytest.raises(ConfigError, match="training mode"):
        open_session(nn.Sequential(nn.Linear(2, 2)), "torch_eager", example=torch.randn(1, 2))


def test_a_session_does_not_follow_later_training() -> None:
    network = Network.tiny()
    with open_session(network.module, "torch_eager", example=network.example) as session:
        before = session.run(draw(1))[0]
        with torch.no_grad():
            network.module[0].weight.zero_()  # type: ignore[union-attr, operator]
        assert np.array_equal(session.run(draw(1))[0], before)
        assert all(value.requires_grad for value in network.module.parameters())


def test_threads_are_lent_for_a_call_only() -> None:
    network = Network.tiny()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with open_session(network.module, "torch_eager", example=network.example, threads=1) as session:
            session.run(draw(1))
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_openvino_computes_in_float32_and_compiles_other_batches_late() -> None:
    network = Network.tiny()
    with open_session(network.module, "openvino", example=network.example) as session:
        assert isinstance(session, OpenVinoSession)
        assert session._one is not None
        precision = session._one.get_compiled_model().get_property("INFERENCE_PRECISION_HINT")
        assert precision.get_type_name() == "f32"
        session.run(draw(1))
        assert session._any is None
        session.run(draw(2))
        assert session._any is not None


def test_openvino_computes_in_bfloat16_where_it_was_asked_to() -> None:
    network = Network.tiny()
    if "bfloat16" not in BACKENDS.get("openvino").precisions():
        pytest.skip("this processor does not compute in bfloat16")
    options = {"example": network.example, "precision": "bfloat16"}
    with open_session(network.module, "openvino", **options) as session:  # type: ignore[arg-type]
        assert isinstance(session, OpenVinoSession) and session._one is not None
        precision = session._one.get_compiled_model().get_property("INFERENCE_PRECISION_HINT")
        assert precision.get_type_name() == "bf16"


def test_a_bfloat16_session_leaves_the_module_as_it_was() -> None:
    network = Network.tiny()
    if "bfloat16" not in BACKENDS.get("torch_eager").precisions():
        pytest.skip("torch has no kernels in bfloat16 for this processor")
    with open_session(
        network.module, "torch_eager", example=network.example, precision="bfloat16"
    ) as session:
        assert session.run(draw(1))[0].dtype == np.float32
    assert {value.dtype for value in network.module.parameters()} == {torch.float32}


def test_int8_of_a_graph_that_is_not_quantised_says_how_to_quantise_it() -> None:
    network = Network.tiny()
    for name in ("onnxruntime", "openvino"):
        with pytest.raises(ConfigError, match=r"not quantised.*quantize_certified"):
            open_session(network.module, name, example=network.example, precision="int8")


def test_torch_compile_without_a_compiler_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = BACKENDS.get("torch_compile")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    status = backend.status()
    assert not status.available
    assert "g++" in (status.missing or "")
    assert "install" in (status.remedy or "")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "clang++" else None)
    assert backend.status().remedy == "export CXX=/usr/bin/clang++"
    network = Network.tiny()
    with pytest.raises(Unavailable, match="export CXX="):
        open_session(network.module, "torch_compile", example=network.example)


def test_statuses_import_nothing_heavy_and_survive_blocked_packages() -> None:
    code = """
import sys
blocked = ("torch", "onnx", "openvino", "tensorrt")
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(name)
sys.meta_path.insert(0, Block())
import juggler.runtime as runtime
import juggler.runtime.artefact, juggler.runtime.machine
import juggler.runtime.measure.speed, juggler.runtime.session
status = {name: backend.status() for name, backend in runtime.BACKENDS}
assert [name for name in status if status[name].available] == ["onnxruntime"], status
assert all(s.missing and s.remedy for s in status.values() if not s.available), status
assert not set(blocked) & set(sys.modules)
juggler.runtime.machine.machine()
assert "onnxruntime" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_status_is_a_noun() -> None:
    assert BackendStatus.from_dict({"available": False, "missing": "x", "remedy": "y"}).version is None


@pytest.mark.skipif(not BACKENDS.get("torch_compile").status().available, reason="no C++ compiler here")
def test_torch_compile_packs_weights_once_and_fuses_what_follows_a_convolution() -> None:
    network = Network.tiny()
    with open_session(network.module, "torch_compile", example=network.example) as session:
        session.run(draw(1))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            session.run(draw(1))
    ops = {event.key for event in profile.key_averages()}
    assert "mkldnn::_convolution_pointwise" in ops
    assert "aten::mkldnn_convolution" not in ops
