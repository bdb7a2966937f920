import bz2
import gzip
import lzma

import pyarrow as pa
import pytest

from juggler.errors import DataError
from juggler.reading.streams import inflated

TEXT = b"some bytes " * 1000


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, bz2.compress, lzma.compress, lambda b: pa.compress(b, "zstd", asbytes=True)],
)
def test_a_stream_is_inflated_by_its_first_bytes(pack, tmp_path):
    path = tmp_path / "stream"
    path.write_bytes(pack(TEXT))
    with inflated(path) as file:
        pieces = iter(lambda: file.read(700), b"")
        assert b"".join(pieces) == TEXT


@pytest.mark.parametrize("name", ["none", ".", "a\0b"])
def test_what_cannot_be_opened_is_said(name, tmp_path):
    with pytest.raises(DataError, match="read "), inflated(tmp_path / name):
        pass
