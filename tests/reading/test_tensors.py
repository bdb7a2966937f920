"""The header of a safetensors file is believed only where it fits the file."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from juggler.errors import ArtefactError
from juggler.reading.request import Request
from juggler.reading.tensors import read_safetensors, read_tensor_header

REQUEST = Request("read it", "Write it again")


def written(path, header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


def test_tensors_are_read_back(tmp_path):
    tensors = {
        "a": torch.arange(6.0).reshape(2, 3),
        "b": torch.tensor([True, False]),
        "c": torch.zeros(0, 4),
        "d": torch.tensor(3, dtype=torch.bfloat16),
    }
    save_file(tensors, tmp_path / "t", {"key": "value"})
    read, metadata = read_safetensors(tmp_path / "t", REQUEST)
    assert metadata == {"key": "value"}
    assert {*read} == {*tensors}
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def tensor(start, stop, shape, element="F32"):
    return {"dtype": element, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("header", "size", "fault"),
    [
        ({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, 12, "begins at 4, where 8 is due"),
        ({"a": tensor(0, 8, [2]), "b": tensor(12, 20, [2])}, 20, "begins at 12"),
        ({"a": tensor(0, 8, [2])}, 9, "in 9"),
        ({"a": tensor(0, 8, [2])}, 7, "in 7"),
        ({"a": tensor(0, 8, [3])}, 8, "for its shape"),
        ({"a": tensor(8, 0, [-2])}, 8, "makes no sense"),
        ({"a": tensor(0, 8, [1 << 50, 1 << 50])}, 8, "makes no sense"),
        ({"a": tensor(0, 8, [True, 2])}, 8, "makes no sense"),
        ({"a": tensor(0, 8, [2], "F99")}, 8, "'F99' elements"),
        ({"a": tensor(0, 8, [2], {})}, 8, "elements"),
        ({"a": 5}, 8, "without"),
        ({"__metadata__": {"a": 5}}, 0, "no texts"),
        ({"__metadata__": []}, 0, "no texts"),
        (b'{"a":' * 10, 0, "JSON"),
        (b'{"a": 1, "a": 2}', 0, "twice"),
        (b"[]", 0, "object"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, header, size, fault):
    with pytest.raises(ArtefactError, match=fault):
        read_tensor_header(written(tmp_path / "t", header, bytes(size)), REQUEST)


@pytest.mark.parametrize("content", [b"", b"\x05", b"\xff" * 100, (50).to_bytes(8, "little") + b"{}"])
def test_a_header_that_is_cut_short_is_refused(tmp_path, content):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(ArtefactError, match="header of"):
        read_tensor_header(tmp_path / "t", REQUEST)
