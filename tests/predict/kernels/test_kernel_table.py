"""A table says of every row what its kernel says of itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler.errors import ConfigError
from juggler.predict import FAMILIES, KernelSpec, KernelTable
from juggler.predict.kernels.sizes import DERIVED


@st.composite
def kernels(draw, family):
    channels, parts = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    wide = family in ("conv", "dense")
    groups = {"depthwise": channels, "conv": parts, "concat": min(parts, channels)}.get(family, 1)
    kind = draw(
        st.sampled_from({"dense": ("gemm", "product"), "norm": ("batch", "layer")}.get(family, ("",)))
    )
    factor = parts if family == "conv" else 1
    windowed = family in ("conv", "depthwise", "pool")
    return KernelSpec(
        family,
        draw(st.integers(1, 64)),
        channels * factor,
        (draw(st.integers(1, 40)) if wide else channels) * factor,
        draw(st.integers(7, 60)),
        draw(st.integers(7, 60)),
        kernel=(draw(st.integers(1, 7)), draw(st.integers(1, 7))) if windowed else (1, 1),
        stride=(draw(st.integers(1, 4)), 2),
        pads=(0, draw(st.integers(0, 3)), 1, 0),
        groups=groups,
        bias=draw(st.booleans()),
        adds=draw(st.booleans()),
        kind=kind,
    )


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_row_agrees_with_its_kernel(family, data):
    specs = data.draw(st.lists(kernels(family), min_size=1, max_size=4))
    table = KernelTable.of(specs)
    assert len(table) == len(specs)
    for name in DERIVED:
        assert table[name].dtype == np.float64
        assert table[name].tolist() == [getattr(spec, name) for spec in specs], name
    assert table["kind"].tolist() == [spec.kind for spec in specs]
    assert table["kernel_width"].tolist() == [spec.kernel[1] for spec in specs]


def test_a_table_is_made_straight_from_arrays():
    table = KernelTable(
        "conv",
        {
            "batch": [1, 2],
            "in_channels": 3,
            "height": [8, 9],
            "width": [8, 9],
            "activation": ["relu", "tanh"],
        },
    )
    assert table["in_channels"].tolist() == [3.0, 3.0]
    assert table["macs"].tolist() == [3 * 64, 2 * 3 * 81]
    assert table["layout"].tolist() == ["nchw", "nchw"]


def test_rows_are_taken_by_index_and_by_mask():
    table = KernelTable("dense", {"in_channels": np.arange(1, 6)})
    assert table.take([4, 0])["in_channels"].tolist() == [5.0, 1.0]
    large = table.take(table["in_channels"] > 3)
    assert (large["macs"].tolist(), len(large), large.family) == ([4.0, 5.0], 2, "dense")
    assert len(table.take(np.zeros(5, bool))) == 0
    assert table.take(slice(1, 4, 2))["in_channels"].tolist() == [2.0, 4.0]


@pytest.mark.parametrize("none", [[], (), np.zeros(0), slice(0, 0)], ids=["list", "tuple", "floats", "slice"])
def test_a_choice_of_no_row_gives_an_empty_table(none):
    empty = KernelTable("conv", {"in_channels": [1.0, 2.0, 3.0]}).take(none)
    assert len(empty) == 0 and len(empty.take([])) == 0
    assert empty["macs"].shape == (0,)


@pytest.mark.parametrize(
    ("family", "columns", "message"),
    [
        ("convolution", {}, "no such family"),
        ("conv", {"heigth": [1]}, "the columns heigth"),
        ("conv", {"batch": [1, 2], "height": [1, 2, 3]}, "all one length"),
        ("conv", {"batch": [1, 0]}, "batch from 0 to 1"),
        ("conv", {"batch": [1, np.nan]}, "batch"),
        ("conv", {"height": [5, 2], "width": 5, "kernel_height": 3}, "row 1 writes nothing"),
    ],
)
def test_columns_that_make_no_kernels_are_refused(family, columns, message):
    with pytest.raises(ConfigError, match=message):
        KernelTable(family, columns)


def test_only_kernels_of_one_family_share_a_table():
    with pytest.raises(ConfigError, match="add, dense"):
        KernelTable.of([KernelSpec("dense", 1, 1, 1), KernelSpec("add", 1, 1, 1)])
    with pytest.raises(ConfigError, match="no kernel"):
        KernelTable.of([])


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="out_height"):
        KernelTable("dense", {"batch": [1]})["flops"]
