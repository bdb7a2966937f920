"""Samples read what the last release kept, and give their latencies by phase and family."""

from __future__ import annotations

from dataclasses import replace

import pytest

from juggler.predict.kernels.sample import Sample, by_family, latencies_ms
from juggler.predict.kernels.spec import KernelSpec

SPEC = KernelSpec("dense", 1, 2, 3)
SAMPLE = Sample(SPEC, "onnxruntime", "float32", 1, 0.0, 2.0, 0.5, 0.0, 1, 0, "random", "here", "2026-01-01")


def test_the_last_release_called_it_drawn():
    values = SAMPLE.to_dict()
    old = {"drawn" if name == "sampled_by" else name: value for name, value in values.items()}
    assert Sample.from_dict(old) == Sample.from_dict(values) == SAMPLE
    with pytest.warns(DeprecationWarning, match="sampled_by"):
        assert SAMPLE.drawn == "random"


def test_latencies_are_never_shorter_than_a_clock_can_see():
    assert latencies_ms([SAMPLE]).tolist() == [2.0]
    assert latencies_ms([SAMPLE], "pre").tolist() == [1e-4]
    assert latencies_ms([]).shape == (0,)


def test_second_timings_belong_to_no_family():
    again = replace(SAMPLE, sampled_by="retest")
    assert by_family([SAMPLE, again], ("dense", "pool")) == {"dense": [SAMPLE], "pool": []}
