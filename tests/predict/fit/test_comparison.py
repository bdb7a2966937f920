"""Learners are compared on the same rows, and only on kernels that were drawn at random."""

from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest

from juggler.errors import ConfigError, DataError
from juggler.predict.campaign.store.samples import NoiseFloor
from juggler.predict.fit.comparison import Comparison, compare_learners
from juggler.predict.kernels.spec import KernelSpec
from made_up_samples import samples

LEARNERS = ["polynomial", "xgboost_raw"]


def test_the_same_rows_for_all_and_the_best_first():
    floors = [NoiseFloor("conv", 5, 1.5, 1.0, 2.0)]
    told = []
    found = compare_learners(
        samples(),
        learners=LEARNERS,
        floors=floors,
        progress=lambda at: told.append((at.done, at.total)),
    )
    assert {row.learner for row in found.rows} == {*LEARNERS}
    assert len({(row.family, row.training, row.scores.n) for row in found.rows}) == 1
    assert found.rows[0].training + found.rows[0].scores.n == 80 and found.rows[0].scores.n == 16
    assert found.rows[0].scores.mape <= found.rows[1].scores.mape
    assert all(row.floor == 1.5 for row in found.rows)
    assert told[-1] == (2, 2)
    assert Comparison.from_json(found.to_json()) == found


def test_what_a_committee_chose_is_never_held_out():
    chosen = [replace(one, sampled_by="active") for one in samples(80)[40:]]
    found = compare_learners([*samples(80)[:40], *chosen], learners=["polynomial"])
    assert (found.rows[0].training, found.rows[0].scores.n) == (72, 8)
    again = [replace(one, sampled_by="retest", exec_ms=99.0) for one in samples(80)]
    wanted = compare_learners(samples(), learners=["polynomial"])
    assert compare_learners([*samples(), *again], learners=["polynomial"]) == wanted


def test_whole_batch_sizes_held_out():
    many = samples(200)
    row = compare_learners(many, learners=["polynomial"], split="batch").rows[0]
    counts = Counter(one.spec.batch for one in many)
    assert row.training + row.scores.n == 200
    # Two of the eight batch sizes are held out, with all their kernels.
    assert len(counts) == 8 and row.scores.n in {sum(pair) for pair in combinations(counts.values(), 2)}


def test_families_with_too_few_samples_are_named():
    few = [replace(one, spec=replace(one.spec, activation="none")) for one in samples(9)]
    dense = [replace(one, spec=KernelSpec("dense", 1, row + 1, 4)) for row, one in enumerate(few)]
    found = compare_learners([*samples(), *dense], learners=["polynomial"])
    assert found.left_out == {"dense": 9}
    with pytest.raises(DataError, match="9 of dense"):
        compare_learners(dense, learners=["polynomial"])
    with pytest.raises(DataError, match="none"):
        compare_learners([])


def test_what_cannot_be_compared():
    with pytest.raises(ConfigError, match="random, batch"):
        compare_learners(samples(), split="network")
    with pytest.raises(ConfigError, match="Did you mean 'svr'"):
        compare_learners(samples(), learners=["svrr"])
    with pytest.raises(DataError, match="several kinds"):
        compare_learners([*samples(), replace(samples(1)[0], threads=2)])
