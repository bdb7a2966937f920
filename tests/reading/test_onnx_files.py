"""ONNX files are parsed only where they hold as many messages as a network may have."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from juggler.errors import ArtefactError
from juggler.reading import onnx_files
from juggler.reading.messages import field, head
from juggler.reading.onnx_files import check_onnx, read_onnx
from juggler.reading.request import Request

REQUEST = Request("read it", "Export it again")


def model():
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [value])
    return helper.make_model(graph)


def nested(depth):
    content = b""
    for _ in range(depth):
        # GraphProto.node, NodeProto.attribute, AttributeProto.g
        content = field(1, field(5, field(6, content)))
    return field(7, content)


def test_the_tables_are_those_of_onnx():
    seen = {}

    def compare(table, message):
        if seen.setdefault(message.full_name, table) is not table or message.full_name in done:
            assert seen[message.full_name].keys() == table.keys()
            return
        done.add(message.full_name)
        inner = {part.number: part.message_type for part in message.fields if part.message_type}
        assert {*table} == {*inner}, message.full_name
        for number, kind in inner.items():
            compare(table[number], kind)

    done = set()
    compare(onnx_files._MODEL, onnx.ModelProto.DESCRIPTOR)
    assert len(done) > 15


def test_a_model_is_read_from_a_file_and_from_bytes(tmp_path):
    onnx.save(model(), tmp_path / "m.onnx")
    for source in (tmp_path / "m.onnx", model().SerializeToString()):
        assert read_onnx(source, REQUEST).graph.node[0].op_type == "Relu"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\x00\x01", "begins no field|does not end"),
        (b"\xff" * 100, "ONNX"),
        (nested(30), "80 deep"),
        (field(7, b"\x0a\x00" * 500_001), "500,000 fields"),
        (head(7, 100), "does not end"),
    ],
)
def test_what_is_out_of_proportion_is_refused(content, fault):
    with pytest.raises(ArtefactError, match=fault):
        check_onnx(content, REQUEST)


def test_an_empty_or_missing_file_is_refused(tmp_path):
    (tmp_path / "empty").touch()
    for name in ("empty", "missing"):
        with pytest.raises(ArtefactError):
            read_onnx(tmp_path / name, REQUEST)
