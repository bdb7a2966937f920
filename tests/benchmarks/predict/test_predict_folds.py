"""Held-out kernels are predicted without their fold, and what repeats hours later is told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.predict import folds as predict_folds
from made_up_samples import samples


def test_kernels_are_held_out_once_and_told_by_size_and_draw():
    random = samples(120)
    own = random + [replace(one, sampled_by="active") for one in random[:60]]
    held = [one for fold in range(5) for one in predict_folds.one_fold("conv", own, fold)]
    # What a committee chose besides is not held out.
    assert len(held) == 60
    row = predict_folds.row(held, None)
    assert sum(part["n"] for part in row["by_size"]) == row["by_draw"]["random"]["n"] == 60
    assert row["scores"]["mape"] == pytest.approx(
        np.average([part["mape"] for part in row["by_size"]], weights=[part["n"] for part in row["by_size"]])
    )
    assert row["by_size"][-1]["to_mb"] is None or row["by_size"][-1]["to_mb"] > row["by_size"][-1]["from_mb"]


def test_fewer_samples_are_drawn_from_what_is_not_held_out():
    quarter, half = predict_folds.from_fewer("conv", samples(120))
    assert (quarter["share"], quarter["samples"], half["samples"]) == (0.25, 24, 48)
    assert quarter["mape"] > 0.0


def test_a_later_floor_is_of_what_was_timed_after_the_database():
    first = samples(6)
    early = replace(first[0], sampled_by="retest", exec_ms=9 * first[0].exec_ms)
    later = [
        replace(one, sampled_by="retest", exec_ms=1.1 * one.exec_ms, taken_at="2026-01-01T03:00:00+00:00")
        for one in first[:4]
    ]
    found = predict_folds.floor_later([*first, early], [*first, early, *later])
    assert found == {
        "conv": {"samples": 4, "mape": pytest.approx(10), "median_ape": pytest.approx(10), "hours": 3}
    }
