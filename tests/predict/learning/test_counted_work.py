"""Work is counted as the algorithms do it, unit costs come out again, a process is smooth between samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler.predict import KernelSpec, KernelTable
from juggler.predict.learning.gaussian import Process, _surprise
from juggler.predict.learning.unit_costs import UnitCosts
from juggler.predict.learning.work.algorithms import COUNTS, algorithms
from juggler.predict.learning.work.blocks import cycles, runs_of, waits, windows


def conv(**fields):
    given_fields = {"batch": 1, "in_channels": 64, "out_channels": 64, "height": 14, "width": 14}
    return KernelSpec("conv", **given_fields | {"layout": "blocked"} | fields)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 20),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    pads=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_windows_are_those_that_are_counted_one_by_one(size, kernel, stride, dilation, pads):
    pad, after = pads
    outs = (size + pad + after - dilation * (kernel - 1) - 1) // stride + 1
    if outs < 1:
        return
    spec = KernelSpec(
        "pool",
        1,
        1,
        1,
        size,
        1,
        kernel=(kernel, 1),
        stride=(stride, 1),
        dilation=(dilation, 1),
        pads=(pad, 0, after, 0),
    )
    down = windows(KernelTable.of([spec]), "height")
    at = stride * np.arange(outs)[:, None] - pad + dilation * np.arange(kernel)
    on_map = (at >= 0) & (at < size)
    assert down.taps == on_map.sum()
    assert down.used == on_map.any(axis=0).sum()
    is_before = (at[:, 0] < 0).sum()
    assert down.before == is_before
    assert down.within == max(0, int((at[is_before:, -1] < size).sum()))
    assert down.before + down.within + down.after == outs


@given(st.integers(0, 1000))
def test_a_row_is_computed_in_runs_that_make_it_up(positions):
    runs = [int(run[0]) for run in runs_of(np.array([float(positions)]))]
    assert np.dot(runs, (6, 3, 2, 1)) == positions
    assert runs[1] + runs[2] + runs[3] <= 2


def test_cycles_are_bound_by_products_or_loads_and_waits_are_the_rest_of_four():
    assert (cycles(6.0, 4.0), waits(6.0, 4.0)) == (12.0, 0.0)
    assert (cycles(1.0, 4.0), waits(1.0, 4.0)) == (2.5, 1.5)
    assert (cycles(12.0, 1.0), waits(12.0, 1.0)) == (6.5, 0.0)


@pytest.mark.parametrize(
    ("spec", "algorithm"),
    [
        (conv(), "pointwise"),
        (conv(pads=(1, 1, 1, 1)), "convolution"),
        (conv(kernel=(3, 3)), "convolution"),
        (conv(in_channels=3, kernel=(3, 3), layout="nchw"), "direct"),
        (conv(in_channels=3, out_channels=6, groups=3, layout="nchw"), "unfolded"),
        (conv(in_channels=30, layout="nchw"), "unfolded"),
        (KernelSpec("depthwise", 1, 32, 32, 9, 9, groups=32, layout="blocked"), "window"),
        (KernelSpec("depthwise", 1, 30, 30, 9, 9, groups=30), "unfolded"),
        (KernelSpec("depthwise", 1, 1, 1, 9, 9, groups=1), "direct"),
        (KernelSpec("pool", 1, 32, 32, 9, 9, kernel=(9, 9)), "whole_pool"),
        (KernelSpec("pool", 1, 32, 32, 9, 9, kernel=(9, 9), layout="blocked"), "window"),
        (KernelSpec("pool", 1, 32, 32, 9, 9, kernel=(3, 3)), "plain_pool"),
        (KernelSpec("dense", 1, 32, 32, kind="gemm"), "dense"),
        (KernelSpec("add", 1, 32, 32, 9, 9), "other"),
    ],
)
def test_each_kernel_has_its_algorithm_and_counts_that_are_finite(spec, algorithm):
    table = KernelTable.of([spec])
    assert list(algorithms(table)) == [algorithm]
    counts = COUNTS[algorithm](table)
    if spec.family in ("conv", "depthwise", "dense"):
        counts |= {f"cold {n}": v for n, v in COUNTS[algorithm](table.but(cold=1.0, bias=1.0)).items()}
    assert all(
        values.shape == (1,) and np.isfinite(values).all() and (values >= 0.0).all()
        for values in counts.values()
    )
    assert counts["call"] == 1.0


def test_work_counted_by_hand():
    counts = COUNTS["convolution"](KernelTable.of([conv(kernel=(3, 3), out_channels=80)]))
    # 12 of 12 positions within, two runs of 6; 5 blocks: a group of four and one of one; 3 taps, 12 rows.
    assert counts["cycles"] == 4 * 12 * 3 * 3 * 16 * (2 * 12 + 2 * 3.5)
    assert counts["waits"] == 4 * 12 * 3 * 3 * 16 * 2 * 0.5
    assert counts["tiles"] == 4 * 12 * 2 * 2
    assert counts["alone"] == counts["skipped"] == 0.0
    counts = COUNTS["pointwise"](KernelTable.of([conv(in_channels=256, height=5, width=1)]))
    assert counts["cycles"] == 256 * (6 + 4)  # of 5 positions, runs of 3 and of 2, four blocks each
    assert counts["sums"] == 2 * 4 * 5
    counts = COUNTS["dense"](KernelTable.of([KernelSpec("dense", 13, 100, 40, kind="gemm")]))
    assert counts["cycles"] == 100 * (12 + 6.5 + 1.5 + 1)
    assert counts["waits"] == 100 * (2.5 + 3)
    counts = COUNTS["unfolded"](KernelTable.of([conv(in_channels=30, height=1, width=1, layout="nchw")]))
    assert (counts["cycles"], counts["vector_products"]) == (0.0, 64 * 4)


def test_pools_with_large_steps_go_tap_by_tap():
    pool = KernelSpec("pool", 2, 5, 5, 9, 9, kernel=(3, 3), stride=(3, 3), kind="average")
    counts = COUNTS["plain_pool"](KernelTable.of([pool]))
    assert counts["stepped_taps"] == counts["average_stepped_taps"] == 2 * 5 * 9 * 9
    assert (counts["stepped_outputs"], counts["stepped_rows"], counts["rows"]) == (90, 270, 0)
    counts = COUNTS["plain_pool"](KernelTable.of([replace(pool, stride=(3, 2), kind="max")]))
    assert counts["stepped_taps"] == counts["average_rows"] == 0.0
    assert (counts["rows"], counts["reduced_rows"], counts["taps"]) == (30, 90, 2 * 5 * 3 * 4 * 3)


def test_channels_that_fill_up_a_block_are_moved_too():
    counts = COUNTS["pointwise"](
        KernelTable.of([conv(in_channels=24, out_channels=3, activation="tanh", adds=True)])
    )
    assert counts["output"] == 16 * 14 * 14 * 4
    assert counts["input"] == (32 + 16) * 14 * 14 * 4
    assert counts["tanh"] == 16 * 14 * 14
    direct = COUNTS["direct"](KernelTable.of([conv(in_channels=3, out_channels=3, layout="nchw")]))
    assert (direct["input"], direct["output"]) == (3 * 14 * 14 * 4, 16 * 14 * 14 * 4)


def many(count, seed=0):
    draw = np.random.default_rng(seed)
    sizes = np.exp(draw.uniform(1.0, 6.0, (count, 3))).round().astype(int)
    return KernelTable.of(
        [KernelSpec("dense", int(b), int(i), int(o), kind="gemm", bias=True) for b, i, o in sizes]
    )


def test_prices_are_found_again_and_go_on_beyond_what_was_sampled():
    table, far = many(150), KernelTable("dense", {"batch": 512, "in_channels": [6000], "out_channels": 900})

    def truth_ms(kernels):
        counts = COUNTS["dense"](kernels)
        return 1e-3 + 3e-7 * counts["cycles"] + 2e-7 * counts["input"]

    target = truth_ms(table) * np.exp(np.random.default_rng(1).normal(0.0, 0.01, len(table)))
    target[:3] *= 20.0  # the clock was wrong
    unit_costs = UnitCosts.fit(table, target)
    latency, shares = unit_costs.parts(many(60, seed=2))
    assert np.abs(latency / truth_ms(many(60, seed=2)) - 1.0).max() < 0.1
    assert np.allclose(sum(shares.values()), 1.0)
    assert unit_costs.parts(far)[0] == pytest.approx(truth_ms(far), rel=0.15)
    assert UnitCosts.from_dict(unit_costs.to_dict()) == unit_costs


def test_algorithms_that_were_not_sampled_go_by_the_roofline():
    table = KernelTable.of([conv(height=h, width=h) for h in range(4, 40)])
    unit_costs = UnitCosts.fit(table, 1e-3 + table["operations"] / 1e8)
    others = KernelTable.of([conv(kernel=(3, 3))])
    assert list(unit_costs.ms) == ["pointwise"]
    latency, shares = unit_costs.parts(others)
    assert latency == unit_costs.roofline.latency_ms(others)
    assert not sum(shares.values()).any()


def test_a_process_answers_between_its_rows_and_with_its_mean_far_away():
    draw = np.random.default_rng(0)
    rows = draw.uniform(-3.0, 3.0, (300, 2))
    target = 0.3 * np.sin(rows[:, 0]) + 0.1 * rows[:, 1] + 5.0
    process = Process.fit(np.hstack([rows, np.ones((300, 1))]), target)
    inner = draw.uniform(-2.5, 2.5, (50, 2))
    smooth = process.predict(np.hstack([inner, np.ones((50, 1))]))
    assert np.abs(smooth - 0.3 * np.sin(inner[:, 0]) - 0.1 * inner[:, 1] - 5.0).max() < 0.02
    assert process.predict(np.full((1, 3), 1e3)) == pytest.approx(np.median(target))
    fields, arrays = process.state()
    assert np.array_equal(
        Process.restore(fields, arrays).predict(rows @ np.eye(2, 3)), process.predict(rows @ np.eye(2, 3))
    )


def test_of_many_rows_a_process_learns_some():
    rows = np.random.default_rng(0).uniform(size=(90, 1))
    assert len(Process.fit(rows, rows[:, 0], most_rows=40).rows) == 40


def test_the_slope_of_the_likelihood_is_that_of_finite_differences():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(40, 4))
    answers = np.sin(rows[:, 0]) + 0.1 * rows[:, 1]
    logs = np.array([0.2, 0.9, 1.4, 0.6, -1.0, -3.0])
    _, slope = _surprise(rows, answers, logs)
    step = 1e-5 * np.eye(len(logs))
    ends = [[_surprise(rows, answers, logs + sign * s)[0] for sign in (1.0, -1.0)] for s in step]
    assert slope == pytest.approx([(up - down) / 2e-5 for up, down in ends], rel=1e-4, abs=1e-4)


def test_a_process_finds_the_column_that_matters_and_rests_at_its_mean():
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(150, 6))
    process = Process.fit(rows, 2.0 + np.sin(2.0 * rows[:, 2]), seed=0)
    others = generator.normal(size=(50, 6)) * 0.8
    assert process.predict(others) == pytest.approx(2.0 + np.sin(2.0 * others[:, 2]), abs=0.15)
    assert np.argmax(process.scale) == 2
    assert process.predict(1e3 * np.ones((1, 6)))[0] == pytest.approx(process.mean)
    again = Process.restore(*process.state())
    np.testing.assert_array_equal(again.predict(others), process.predict(others))


def test_windows_as_wide_as_an_unpadded_map_run_in_one_row():
    tall = conv(kernel=(3, 3), height=50, width=3)
    counts, wide = (
        COUNTS["convolution"](KernelTable.of([spec]))
        for spec in (tall, conv(kernel=(3, 3), height=3, width=50))
    )
    # 48 windows of 9 taps each, one after the other: a single row of 8 runs of six, as if it lay on its side.
    assert counts["tiles"] == 4 * 8 and counts["rows"] == 4
    assert counts["alone"] == wide["alone"] == 0.0
    assert counts["products"] == wide["products"]
    for changed in (replace(tall, pads=(1, 0, 1, 0)), replace(tall, stride=(2, 1)), replace(tall, width=4)):
        assert COUNTS["convolution"](KernelTable.of([changed]))["rows"] > 4


def test_what_steps_pass_over_is_not_read():
    pool = KernelSpec("pool", 1, 64, 64, 12, 12, kernel=(1, 1), stride=(3, 3), layout="blocked")
    blocked, plain = (
        COUNTS[name](KernelTable.of([spec]))["input"]
        for name, spec in (("window", pool), ("plain_pool", replace(pool, layout="nchw")))
    )
    assert blocked == 64 * 4 * 4 * 4  # of each side every third position: a line of memory each
    assert plain == 64 * 4 * 12 * 4  # every third row, and all of it


def test_a_map_that_is_stepped_over_goes_through_its_weights_row_by_row():
    stepped = COUNTS["pointwise"](KernelTable.of([conv(in_channels=2048, out_channels=512, stride=(2, 2))]))
    assert stepped["weights_again_private"] + stepped["weights_again_shared"] > 0.0
    flat = COUNTS["pointwise"](KernelTable.of([conv(in_channels=2048, out_channels=512)]))
    assert flat["weights_again_private"] == flat["weights_again_shared"] == 0.0


def test_a_scale_of_single_positions_is_no_loop_over_planes():
    scale = KernelSpec("elementwise", 4, 100, 100, kind="scale", height=5, width=5)
    assert COUNTS["other"](KernelTable.of([scale]))["planes_scale"] == 400
    assert COUNTS["other"](KernelTable.of([replace(scale, height=1, width=1)]))["planes_scale"] == 0
    curved = COUNTS["other"](KernelTable.of([replace(scale, kind="tanh")]))
    assert curved["words_curved"] == curved["words_tanh"] == 4 * 100 * 25
