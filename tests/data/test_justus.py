"""The third-party layer times: padding by hand, errors that say what to do, and the files where they are."""

import numpy as np
import pytest

from juggler.data.justus import FILES, read_layer_times, same_pads
from juggler.data.source import DataNotFound, Source
from juggler.errors import ConfigError, DataError
from juggler.predict.kernels.table import KernelTable


def test_padding_as_tensorflow_adds_it():
    size, kernel, stride = (
        np.array(column, float) for column in zip((8, 3, 1), (8, 4, 1), (7, 3, 2), (5, 1, 2), strict=True)
    )
    before, after = same_pads(size, kernel, stride)
    assert before.tolist() == [1, 1, 1, 0] and after.tolist() == [1, 2, 1, 0]


def test_what_there_is_not():
    with pytest.raises(ConfigError, match="conv on p100"):
        read_layer_times("pool", "1080ti")


def test_files_that_are_absent_or_others(tmp_path, monkeypatch):
    monkeypatch.delenv("JUGGLER_DATA", raising=False)
    source = Source(tmp_path, cache=tmp_path / "cache")
    with pytest.raises(DataNotFound, match=r"dense_1080ti\.parquet"):
        read_layer_times("dense", "1080ti", source)
    (tmp_path / "dense_1080ti.parquet").write_bytes(b"PAR1 of something else")
    with pytest.raises(DataError, match="SHA-256"):
        read_layer_times("dense", "1080ti", source)
    with pytest.raises(DataError, match="no parquet"):
        read_layer_times("dense", "1080ti", Source(tmp_path, allow_modified=True))


@pytest.mark.data
@pytest.mark.parametrize(("family", "device"), FILES)
def test_the_files(family, device):
    found = read_layer_times(family, device)
    table = KernelTable(family, found.columns)
    assert len(table) == len(found) > 12_000
    assert (found.latency_ms > 0.0).all() and (found.spread_ms > 0.0).all()
    assert {*np.unique(table["activation"])} == {"none", "relu", "sigmoid", "tanh"}
    if family == "conv":
        assert ((table["pad_bottom"] - table["pad_top"]) >= 0.0).all()
        assert table["out_height"].max() <= 512.0
