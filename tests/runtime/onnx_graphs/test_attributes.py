"""Attributes of ONNX nodes as plain values."""

from __future__ import annotations

import onnx

from juggler.runtime.onnx_graphs.attributes import attributes_of


def test_attributes_are_plain_values():
    options = {"pads": [1, 1], "auto_pad": "NOTSET", "alpha": 0.5, "group": 2}
    assert attributes_of(onnx.helper.make_node("Conv", ["x", "w"], ["y"], **options)) == options


def test_a_text_that_is_no_utf_8_is_read_all_the_same():
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=b"\xff")
    assert attributes_of(node) == {"auto_pad": "\ufffd"}
