"""Kernels are timed in three phases by every backend, as the runtime made them, or refused."""

from __future__ import annotations

import itertools
import resource
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest

from juggler.clock.interference import Taken, Watch
from juggler.predict import KernelSpec
from juggler.predict.campaign.timers._copies import MERGING, _copied, can_copy, filled, kernel_us
from juggler.predict.campaign.timers.onnxruntime import OnnxRuntimeBench
from juggler.predict.campaign.timing import (
    LED_IN_CALLS,
    LONG_CALL_MS,
    PROFILERS,
    LocalTimer,
    PhaseTimings,
    UnsupportedKernel,
    _lead_in,
    cold_bytes,
    midmean,
    resident_bytes,
)

CONV = KernelSpec("conv", 1, 32, 32, 14, 14, kernel=(3, 3), pads=(1, 1, 1, 1), bias=True)


def still():
    return Watch(None, lambda: Taken(0))


def timed(spec, backend="onnxruntime"):
    return LocalTimer(PROFILERS.get(backend), 1, still(), min_turn_ms=0.5).take(spec)


@pytest.mark.parametrize("name", PROFILERS.names())
def test_every_backend_times_the_usual_kernels(name):
    profiler = PROFILERS.get(name)
    assert profiler.name == name
    dense = KernelSpec("dense", 4, 64, 32, bias=True, kind="gemm")
    pool = KernelSpec("pool", 1, 32, 32, 14, 14, kernel=(2, 2), stride=(2, 2))
    for spec in (CONV, replace(CONV, activation="relu", cold=True), dense, pool):
        turn = timed(profiler.adapt(spec), name)
        assert turn.exec_ms > 0.0
        assert turn.pre_ms >= 0.0
        assert turn.post_ms >= 0.0
        assert replace(turn.spec, layout="nchw") == profiler.adapt(spec)


@pytest.mark.parametrize("name", PROFILERS.names())
def test_every_backend_refuses_what_it_does_not_make(name):
    with pytest.raises(UnsupportedKernel, match="Leave this kernel out"):
        timed(KernelSpec("elementwise", 1, 8, 8, 5, 5, kind="pow"), name)


def test_a_lead_in_ends_where_memory_is_laid_out():
    """ONNX Runtime takes the pages of large maps in its first call, and others in its second."""
    spec = KernelSpec("conv", 6, 24, 128, 94, 94, kernel=(1, 1), bias=True)
    bench = PROFILERS.get("onnxruntime").open(spec, 1)
    _lead_in(bench.run)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bench.run()
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    bench.finish()
    assert taken * resource.getpagesize() < spec.output_bytes / 10


def test_a_lead_in_has_three_calls_of_short_kernels_and_two_of_long_ones():
    assert len(_lead_in(lambda: None)) >= LED_IN_CALLS == 3
    assert len(_lead_in(lambda: time.sleep(1.5 * LONG_CALL_MS / 1e3))) == 2


def test_the_layout_is_the_one_that_the_runtime_chose():
    assert timed(CONV).spec.layout == "blocked"
    assert timed(replace(CONV, in_channels=3)).spec.layout == "nchw"
    assert timed(KernelSpec("pool", 1, 6, 6, 9, 9, kernel=(2, 2))).spec.layout == "nchw"
    assert timed(CONV).pre_ms > 0.0, "an input that is reordered takes time before the kernel"


@pytest.mark.parametrize("kind", ["to_blocked", "from_blocked", "transpose"])
def test_reorders_are_kernels_of_their_own(kind):
    turn = timed(KernelSpec("reorder", 1, 32, 32, 14, 14, kind=kind))
    assert turn.exec_ms > 0.0


def test_a_sum_is_timed_inside_of_its_kernel():
    turn = timed(replace(CONV, adds=True, activation="relu"))
    assert (turn.spec.adds, turn.spec.layout) == (True, "blocked")


def test_an_activation_that_the_runtime_does_not_fuse_is_refused():
    with pytest.raises(UnsupportedKernel, match="it ran"):
        timed(replace(CONV, activation="elu"))


def test_short_kernels_are_timed_without_what_the_profiler_adds():
    small = KernelSpec("softmax", 1, 10, 10)
    bench = OnnxRuntimeBench(small, 1, raw=True)
    for _ in range(50):
        bench.run()
    profiled_us = midmean(bench.finish().exec_ms) * 1e3
    assert 0.05 <= kernel_us(small, 1) < profiled_us
    assert timed(small).exec_ms * 1e3 < profiled_us


def test_copies_are_kept_apart_and_the_kernel_is_the_same():
    graph, output = _copied(replace(CONV, adds=True, activation="relu"), 3)
    names = [node.name for node in onnx.load_from_string(graph.model).graph.node]
    assert [name for name in names if name.startswith("kernel")] == [
        f"kernel{part}_{copy}" for copy in range(3) for part in ("", "_sum", "_activation")
    ]
    assert sum(name.startswith("consumer") for name in names) == 3
    session = onnxruntime.InferenceSession(graph.model, providers=["CPUExecutionProvider"])
    assert session.run([output], graph.feed())[0].shape == (1, 32, 1, 1)


def test_blocks_that_are_filled_up_are_copied_whole(tmp_path):
    odd = replace(CONV, out_channels=27, activation="none")
    assert filled(odd).out_channels == 32
    assert filled(replace(odd, out_channels=32)).out_channels == 32
    assert filled(KernelSpec("pool", 1, 27, 27, 7, 7)).out_channels == 27
    after = dict(pairwise(_ran(odd, tmp_path)))
    assert after["Conv"] == "ReorderOutput"  # of all that it wrote: it is not what is to be timed
    assert dict(pairwise(_ran(filled(odd), tmp_path)))["Conv"] == "MaxPool"


def test_what_is_too_large_once_it_is_filled_up_is_not_copied():
    thin = replace(CONV, out_channels=1, height=96, width=96, activation="none")
    assert can_copy(thin) and not can_copy(filled(thin))
    assert timed(thin).exec_ms > 0.0


def _ran(spec, folder):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(folder / "ran.onnx"), 3
    onnxruntime.InferenceSession(
        _copied(spec, 2)[0].model, options, providers=["CPUExecutionProvider"], disabled_optimizers=MERGING
    )
    return [node.op_type for node in onnx.load(folder / "ran.onnx").graph.node]


def test_what_does_not_fit_into_caches_side_by_side_is_not_copied():
    assert can_copy(CONV)
    assert not can_copy(replace(CONV, cold=True))
    assert not can_copy(KernelSpec("add", 1, 64, 64, 56, 56))
    assert not can_copy(KernelSpec("reorder", 1, 16, 16, 7, 7, kind="to_blocked"))


class Recorded:
    """A backend whose kernel takes what the test says, by a disturbance that the test says too."""

    name = "recorded"

    def __init__(self, exec_ms):
        self.exec_ms, self.opened = iter(exec_ms), 0

    def adapt(self, spec):
        return spec

    def open(self, spec, threads):
        self.opened += 1
        return self

    def run(self):
        pass

    def finish(self):
        value = np.full(500, next(self.exec_ms))
        return PhaseTimings(CONV, value, value, value)


def experienced(patience, later, exec_ms):
    """Return turns that have seen 20 calm ones, and what they cost the next: `later` switches each."""
    counts = itertools.chain([0] * 40, later)
    watch = Watch(None, lambda: Taken(next(counts)))
    backend = Recorded(itertools.chain([3.0] * 20, exec_ms))
    turns = LocalTimer(backend, 1, watch, min_turn_ms=0.1, patience=patience)
    assert all(turns.take(CONV).rejected == 0 for _ in range(20))
    return turns, backend


def test_a_disturbed_turn_is_taken_again_and_the_calmest_kept():
    turns, backend = experienced(100.0, [0, 5000, 5000, 5000], [5.0, 1.0])
    turn = turns.take(CONV)
    assert (turn.exec_ms, turn.rejected, backend.opened) == (1.0, 1, 22)
    assert turn.disturbance <= 1.0


def test_a_machine_that_is_never_calm_is_measured_all_the_same():
    turns, backend = experienced(100.0, itertools.count(0, 5000), itertools.repeat(2.0))
    turn = turns.take(CONV)
    assert (turn.rejected, backend.opened) == (3, 24)
    assert turn.disturbance > 1.0


def test_patience_ends():
    turns, backend = experienced(0.0, itertools.count(0, 5000), itertools.repeat(2.0))
    assert turns.take(CONV).rejected == 0
    assert backend.opened == 21


def test_the_midmean_is_the_mean_of_the_middle_half():
    assert midmean(np.array([100.0, 3.0, 4.0, 0.0])) == 3.5
    assert midmean(np.array([7.0])) == 7.0
    assert midmean(np.array([1.0, 2.0])) == 1.5


def test_memory_is_estimated_above_the_tensors_alone():
    assert resident_bytes(CONV) > CONV.bytes
    assert 1 << 20 <= cold_bytes() <= 64 << 20


IMAGE = {"batch": 1, "in_channels": 32, "out_channels": 32, "height": 10, "width": 10}
WINDOW = {"kernel": (3, 3), "pads": (1, 1, 1, 1)}


@pytest.mark.parametrize(
    ("spec", "layout"),
    [
        (KernelSpec("int8_conv", **IMAGE, **WINDOW, bias=True), "blocked"),
        (KernelSpec("int8_conv", **IMAGE, **WINDOW, groups=32), "blocked"),
        (KernelSpec("int8_conv", **IMAGE, kind="integer"), "nchw"),
        *((KernelSpec("int8_dense", 4, 32, 16, kind=kind), "nchw") for kind in ("gemm", "matmul", "dynamic")),
        *(
            (KernelSpec("int8_pass", **IMAGE, kind=kind), "nchw")
            for kind in ("quantize", "dequantize", "dynamic", "add")
        ),
        (KernelSpec("recurrent", 2, 8, 16, 5, kind="lstm", bias=True), "nchw"),
        (KernelSpec("recurrent", 2, 8, 32, 5, kind="gru", groups=2), "nchw"),
        (KernelSpec("pool", **IMAGE, **WINDOW, kind="padded_average"), "nchw"),
        (KernelSpec("concat", **IMAGE, groups=2, kind="split"), "nchw"),
        (KernelSpec("concat", **IMAGE, kind="slice"), "nchw"),
        (KernelSpec("concat", **IMAGE, groups=2, layout="blocked"), "blocked"),
        (KernelSpec("add", **IMAGE, layout="blocked"), "blocked"),
        (KernelSpec("elementwise", **IMAGE, kind="sigmoid", layout="blocked"), "blocked"),
        (KernelSpec("elementwise", **IMAGE, kind="scale", layout="blocked"), "nchw"),
        (KernelSpec("elementwise", **IMAGE, kind="cast"), "nchw"),
    ],
    ids=lambda value: f"{value.family}-{value.kind}" if isinstance(value, KernelSpec) else "",
)
def test_recurrent_int8_and_copying_kernels_are_timed_in_the_layout_that_they_run_in(spec, layout):
    bench = OnnxRuntimeBench(spec, 1, raw=True)
    for _ in range(3):
        bench.run()
    phases = bench.finish()
    assert phases.spec == replace(spec, layout=layout)
    assert phases.exec_ms.shape == (3,) and phases.exec_ms.min() > 0.0
