"""A kernel's sizes are right, and what makes no kernel is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggler.errors import ConfigError
from juggler.predict import KernelSpec

CONV = KernelSpec(
    "conv",
    2,
    16,
    32,
    20,
    30,
    kernel=(3, 5),
    stride=(2, 1),
    dilation=(1, 2),
    pads=(1, 2, 0, 3),
    groups=4,
    bias=True,
    activation="relu",
    adds=True,
)


def test_a_convolution_is_counted_by_hand():
    assert (CONV.out_height, CONV.out_width) == ((20 + 1 - 3) // 2 + 1, 30 + 5 - 8 - 1 + 1)
    positions = 2 * CONV.out_height * CONV.out_width
    assert CONV.macs == positions * 32 * 4 * 15
    assert CONV.operations == 2 * CONV.macs
    assert CONV.weight_bytes == 4 * (32 * 4 * 15 + 32)
    assert CONV.output_bytes == 4 * positions * 32
    assert CONV.input_bytes == 4 * 2 * 16 * 600 + CONV.output_bytes  # the tensor that is added is read too
    assert CONV.im2col_bytes == 4 * positions * 16 * 15
    assert CONV.bytes == CONV.input_bytes + CONV.weight_bytes + CONV.output_bytes


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (KernelSpec("dense", 3, 5, 7, bias=True), (105, 4 * 15, 4 * 42, 4 * 21)),
        (KernelSpec("dense", 3, 5, 7, 11, kind="matmul"), (1155, 4 * 165, 4 * 35, 4 * 231)),
        (KernelSpec("dense", 3, 8, 6, 5, kind="product", groups=2), (360, 4 * (120 + 72), 0, 4 * 90)),
        (KernelSpec("pool", 1, 2, 2, 5, 5, kernel=(2, 2), stride=(2, 2)), (0, 200, 0, 32)),
        (KernelSpec("global_pool", 2, 3, 3, 4, 4), (0, 4 * 96, 0, 24)),
        (KernelSpec("add", 2, 3, 3, 4, 4), (0, 8 * 96, 0, 4 * 96)),
        (KernelSpec("add", 2, 3, 3, 4, 4, kind="broadcast"), (0, 4 * 99, 0, 4 * 96)),
        (KernelSpec("elementwise", 2, 3, 3, 4, 4, kind="relu"), (0, 4 * 96, 0, 4 * 96)),
        (KernelSpec("elementwise", 2, 3, 3, 4, 4, kind="mul"), (0, 8 * 96, 0, 4 * 96)),
        (KernelSpec("elementwise", 2, 3, 3, 4, 4, kind="scale"), (0, 4 * 102, 0, 4 * 96)),
        (KernelSpec("norm", 2, 3, 3, 4, 4), (0, 4 * 96, 48, 4 * 96)),
        (KernelSpec("norm", 2, 3, 3, 4, 1, kind="layer"), (0, 96, 24, 96)),
    ],
    ids=lambda value: f"{value.family}-{value.kind}" if isinstance(value, KernelSpec) else "",
)
def test_macs_and_bytes_of_the_other_families(spec, expected):
    assert (spec.macs, spec.input_bytes, spec.weight_bytes, spec.output_bytes) == expected


def test_the_operations_of_a_pool_are_the_taps_of_its_windows():
    pool = KernelSpec("pool", 2, 3, 3, 9, 9, kernel=(3, 3), stride=(3, 3), kind="average")
    assert pool.operations == 2 * 3 * 9 * 9
    assert KernelSpec("softmax", 2, 10, 10).operations == 20


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"family": "conf"}, "conv, depthwise"),
        ({"batch": 0}, "batch 0"),
        ({"height": -3}, "height -3"),
        ({"in_channels": 2.0}, "in_channels 2.0"),
        ({"kernel": (3,)}, "2 whole numbers"),
        ({"stride": (0, 1)}, "stride"),
        ({"pads": (0, -1, 0, 0)}, "pads"),
        ({"kernel": (9, 1)}, "output of 0x8"),
        ({"groups": 3}, "multiples of the groups"),
        ({"bias": 1}, "bias 1"),
        ({"layout": "nhwc"}, "'nhwc'"),
        ({"activation": "no such"}, "one lower-case word"),
        ({"activation": ""}, "one lower-case word"),
        ({"family": "depthwise", "groups": 2}, "one a channel"),
        ({"family": "pool"}, "4 channels in and 8 out"),
        ({"family": "pool", "out_channels": 4, "kind": "median"}, "max, average"),
        ({"family": "concat", "out_channels": 4, "groups": 5}, "Join at most 4"),
    ],
)
def test_what_makes_no_kernel_is_refused(values, message):
    usual = {"family": "conv", "batch": 1, "in_channels": 4, "out_channels": 8, "height": 8, "width": 8}
    with pytest.raises(ConfigError, match=message):
        KernelSpec(**usual | values)


def test_a_kernel_returns_from_json_with_its_digest():
    again = KernelSpec.from_json(CONV.to_json())
    assert again == CONV
    assert again.digest == CONV.digest
    assert len(CONV.digest) == 16


def test_the_digest_stays_what_databases_hold():
    assert KernelSpec("dense", 1, 2, 3).digest == "477543263ccc241b"


@given(st.integers(1, 64), st.integers(1, 64), st.booleans())
def test_other_kernels_have_other_digests(channels, height, cold):
    spec = KernelSpec("dense", 1, channels, 3, height, cold=cold)
    taller = KernelSpec("dense", 1, channels, 3, height + 1, cold=cold)
    assert spec.digest != taller.digest
