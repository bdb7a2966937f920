"""Arrays of numbers are read, and nothing else that numpy may write."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from juggler.errors import ArtefactError
from juggler.reading.arrays import read_npy, read_npz
from juggler.reading.request import Request

REQUEST = Request("read it", "Write it again")


def saved(array, **options):
    content = io.BytesIO()
    np.save(content, array, **options)
    return content.getvalue()


def headed(header, content=b"", version=b"\x01\x00"):
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return b"\x93NUMPY" + version + length + header + content


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 3), np.int64),
        np.array(5, np.uint8),
        np.array([True, False]),
        np.arange(3, dtype=">i2"),
    ],
)
def test_what_was_saved_is_read_back(array):
    read = read_npy(saved(array), REQUEST)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype
    assert read.shape == array.shape


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "npy"),
        (saved(np.array([{}, []], object), allow_pickle=True), "elements of object"),
        (saved(np.array([(1, 2)], [("a", "i4"), ("b", "i4")])), "elements of"),
        (saved(np.array(["text"])), "elements of"),
        (saved(np.arange(10.0))[:-1], "79 bytes"),
        (saved(np.arange(10.0)) + b"x", "81 bytes"),
        (
            headed(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 1099511627776)}\n"),
            "shape",
        ),
        (headed(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}\n", bytes(8)), "shape"),
        (headed(b"(" * 8000), "memory|npy"),
        (headed(b"x" * 9000), "9000"),
        (headed(b"{'descr': '<f8'}\n"), "npy"),
        (headed(b"{}\n", version=b"\x09\x00"), "npy"),
        (headed(b"{'descr': ('<f8', (3,)), 'fortran_order': False, 'shape': (1,)}\n", bytes(24)), "npy"),
    ],
)
def test_anything_else_is_refused(content, fault):
    with pytest.raises(ArtefactError, match=fault):
        read_npy(content, REQUEST)


def test_an_archive_of_arrays(tmp_path):
    arrays = {"a": np.arange(3), "b/c": np.zeros((2, 2), np.float32)}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    read = read_npz(tmp_path / "a.npz", REQUEST)
    assert {*read} == {*arrays}
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
