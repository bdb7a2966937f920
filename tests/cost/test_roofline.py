"""The roofline: floors and bounds by arithmetic, ceilings by a made-up time source and a real one."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from juggler.cost.roofline import Ceilings, Floor, floor_of, measure_ceilings
from juggler.count.network import count
from juggler.errors import ConfigError

RATES = st.floats(1e-3, 1e6)


def conv():
    (op,) = count(nn.Conv2d(16, 32, 3, bias=False).eval(), torch.empty(1, 16, 12, 12, device="meta")).ops
    return op


def test_the_floor_of_a_layer_is_work_by_rate():
    op = conv()
    floor = floor_of(op, Ceilings(100.0, 10.0, 5.0))
    assert floor.compute_ms == pytest.approx(2 * 100 * 32 * 144 / 100e9 * 1e3)
    assert floor.memory_ms == pytest.approx(4 * (32 * 144 + 16 * 144 + 32 * 100) / 10e9 * 1e3)
    assert floor.overhead_ms == 0.005


@pytest.mark.parametrize(
    ("ceilings", "bound"),
    [
        (Ceilings(0.1, 1e6), "compute"),
        (Ceilings(1e6, 0.1), "memory"),
        (Ceilings(1e6, 1e6, 10.0), "overhead"),
    ],
)
def test_what_is_slowest_is_the_bound(ceilings, bound):
    assert floor_of(conv(), ceilings).bound == bound


def test_a_view_is_free():
    (op,) = count(nn.Flatten().eval(), torch.empty(1, 2, 3, device="meta")).ops
    assert floor_of(op, Ceilings(1.0, 1.0, 10.0)) == Floor(0.0, 0.0, 0.0)
    assert floor_of(op, Ceilings(1.0, 1.0, 10.0)).bound == "free"


@given(RATES, RATES, st.floats(1e-4, 1e6))
def test_the_roof_has_one_ridge(gflop_per_s, gb_per_s, intensity):
    roof = Ceilings(gflop_per_s, gb_per_s)
    assert roof.attainable_gflop_per_s(intensity) <= gflop_per_s
    assert roof.attainable_gflop_per_s(roof.ridge) == pytest.approx(gflop_per_s)
    below = roof.attainable_gflop_per_s(roof.ridge / 2)
    assert below == pytest.approx(gflop_per_s / 2)


@pytest.mark.parametrize(
    "bad", [(0.0, 1.0, 0.0), (1.0, -1.0, 0.0), (math.nan, 1.0, 0.0), (1.0, math.inf, 0.0), (1, 1, -1)]
)
def test_ceilings_that_are_none_are_refused(bad):
    with pytest.raises(ConfigError, match="roofline"):
        Ceilings(*bad)


SMALL = {"sides": (64,), "copy_bytes": 1 << 20}


def test_ceilings_are_measured():
    steps = []
    found = measure_ceilings(
        **SMALL, threads=1, progress=lambda value: steps.append((value.done, value.total))
    )
    assert found.gflop_per_s > 0 and found.gb_per_s > 0 and found.overhead_us > 0
    assert found.source.startswith("measured") and "64 x 64" in found.source
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_ceilings_are_work_by_time():
    ticks = itertools.count()
    found = measure_ceilings(**SMALL, now_ns=lambda: next(ticks) * 1000)  # everything takes 1 µs
    assert found.gflop_per_s == pytest.approx(2 * 64**3 / 1e3)
    assert found.gb_per_s == pytest.approx(2 * (1 << 20) / 1e3)
    assert found.overhead_us == pytest.approx(1.0)
