"""What an ONNX file asks for is read off its messages: operators at any depth, and files beside it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from juggler.errors import ArtefactError
from juggler.reading.onnx_contents import check_external, read_contents
from juggler.reading.request import Request
from juggler.runtime.open import open_session

REQUEST = Request("read it", "Export it again")


def weights_at(place: str) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.ones((4, 3), np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place
    return tensor


def product(place: str) -> bytes:
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
        for name, size in (("x", 4), ("y", 3))
    ]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:])
    graph.initializer.append(weights_at(place))
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return content


def test_operators_and_files_are_found_at_any_depth():
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 3])
    constant = helper.make_node("Constant", [], ["y"], value=weights_at("deep.bin"))
    branch = helper.make_graph(
        [constant, helper.make_node("Odd", ["y"], ["z"], domain="org.odd")], "b", [], [value]
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    function = helper.make_function("f", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [])
    model = helper.make_model(helper.make_graph([node], "g", [], [value]), functions=[function])
    contents = read_contents(model.SerializeToString(), REQUEST)
    assert contents.operators == {"If", "Constant", "org.odd:Odd", "Relu"}
    assert (contents.external, contents.functions) == ({"deep.bin"}, 1)


@pytest.mark.parametrize(
    "kind", ["plain", "hard link", "link", "linked folder", "outside", "absolute", "missing"]
)
def test_weights_in_other_files_are_plain_files_beside_the_model(tmp_path: Path, kind: str):
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.ones((4, 3), np.float32).tobytes())
    place = "w.bin"
    if kind == "plain":
        (folder / place).write_bytes(secret.read_bytes())
    elif kind == "hard link":
        os.link(secret, folder / place)
    elif kind == "link":
        (folder / place).symlink_to(secret)
    elif kind == "linked folder":
        (folder / "sub").symlink_to(tmp_path)
        place = "sub/secret.bin"
    elif kind in ("outside", "absolute"):
        place = "../secret.bin" if kind == "outside" else str(secret)
    path = folder / "m.onnx"
    path.write_bytes(product(place))
    if kind == "plain":
        check_external(path, REQUEST)
        with open_session(path) as session:
            assert session.run(np.ones((1, 4), np.float32))[0].tolist() == [[4.0] * 3]
        return
    for attempt in (lambda: check_external(path, REQUEST), lambda: open_session(path)):
        with pytest.raises(ArtefactError, match=r"is a link|leads out|cannot be read"):
            attempt()


def test_bytes_have_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("w.bin").write_bytes(np.ones((4, 3), np.float32).tobytes())
    with pytest.raises(ArtefactError, match="bytes have no folder"):
        open_session(product("w.bin"))


def test_what_is_no_model_is_refused():
    with pytest.raises(ArtefactError, match="no ONNX model"):
        read_contents(b"\x0f" * 20, REQUEST)
