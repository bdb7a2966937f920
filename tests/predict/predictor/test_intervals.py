"""Coverage is what is promised on exchangeable data, by family and by network, whatever the predictor."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggler.errors import ConfigError
from juggler.predict.predictor.intervals import (
    POOLED,
    WIDEST,
    Intervals,
    binomial_interval,
    covered,
    quantile,
    scores,
)


@given(
    st.lists(st.floats(0.0, 1e6), min_size=1, max_size=60, unique=True),
    st.floats(0.05, 0.99),
)
def test_each_of_n_plus_1_scores_is_covered_by_the_others_often_enough(values, level):
    """Exchangeable scores in every order at once: the promise without any chance in it."""
    hits = [values[i] <= quantile(values[:i] + values[i + 1 :], level) for i in range(len(values))]
    n = len(values) - 1
    share = float(np.mean(hits))
    assert share >= level - 1e-9
    assert share <= level + 1.0 / (n + 1) + 1e-9 or n + 1 < 1.0 / (1.0 - level)


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=30), st.floats(0.05, 0.95))
def test_the_quantile_is_the_one_of_the_textbook(values, level):
    rank = math.ceil((len(values) + 1) * level - 1e-9)
    wanted = sorted(values)[rank - 1] if rank <= len(values) else math.inf
    assert quantile(values, level) == wanted
    assert quantile(values, level, groups=range(len(values))) == wanted


def drawn(generator, families, n):
    """Return samples of a predictor that is biased, and noisier in one family than in another."""
    chosen = generator.choice(families, n)
    spread = np.where(chosen == "pool", 0.5, 0.05)
    predicted = generator.lognormal(0.0, 1.0, n)
    return chosen, predicted * np.exp(0.1 + spread * generator.standard_t(3, n)), predicted


def test_coverage_holds_in_every_family():
    generator = np.random.default_rng(7)
    shares = {"conv": [], "pool": []}
    for _ in range(300):
        intervals = Intervals.fit(*drawn(generator, ["conv", "pool"], 80))
        family, measured, predicted = drawn(generator, ["conv", "pool"], 40)
        ends = np.array([intervals.of(f, p) for f, p in zip(family, predicted, strict=True)])
        for name, hits in shares.items():
            own = family == name
            hits.append(covered(measured[own], ends[own, 0], ends[own, 1]))
    # 300 x 20 samples on calibrations of about 40: 90 % to 90 + 1/41, and 4 standard errors of 0.4 %.
    for hits in shares.values():
        assert 0.885 <= np.mean(hits) <= 0.94


def test_families_are_kept_apart_and_small_ones_share():
    generator = np.random.default_rng(1)
    family, measured, predicted = drawn(generator, ["conv", "pool"], 400)
    family = [*(["softmax"] * 5), *family[5:]]
    intervals = Intervals.fit(family, measured, predicted)
    assert intervals.half_width("pool") > 3.0 * intervals.half_width("conv")
    assert intervals.weak == ("softmax",) and intervals.counts["softmax"] == 5
    assert intervals.half_width("softmax") == intervals.half_width(POOLED) == intervals.half_width("norm")
    low, high = intervals.of("conv", 2.0)
    assert low * high == pytest.approx(4.0) and low < 2.0 < high
    assert Intervals.from_json(intervals.to_json()) == intervals


def test_networks_count_once_whatever_number_of_batches_they_were_timed_at():
    """One network with a hundred batches may not outvote twenty with one each."""
    many = np.concatenate([np.full(100, 5.0), np.linspace(0.1, 2.0, 20)])
    groups = ["a"] * 100 + [f"n{i}" for i in range(20)]
    assert quantile(many, 0.9) == 5.0
    assert quantile(many, 0.9, groups) == 2.0  # the 20th of 22 votes, the new one among them


def test_coverage_of_new_networks_holds():
    generator = np.random.default_rng(3)

    def networks(count):
        groups = np.repeat(np.arange(count), generator.integers(1, 8, count))
        own = generator.normal(0.0, 0.3, count)
        return groups, np.exp(own[groups] + generator.normal(0.0, 0.05, groups.size))

    shares = []
    for _ in range(1500):
        groups, measured = networks(19)
        intervals = Intervals.fit(
            ["network"] * groups.size, measured, np.ones(groups.size), groups=list(groups)
        )
        own, new = networks(1)
        pick = generator.integers(own.size)
        low, high = intervals.of("network", 1.0)
        shares.append(low <= new[pick] <= high)
    assert 0.87 <= np.mean(shares) <= 0.96


def test_scaled_intervals_follow_the_difficulty():
    generator = np.random.default_rng(5)
    difficulty = generator.uniform(0.1, 10.0, 2000)
    measured = np.exp(0.05 * difficulty * generator.normal(size=2000))
    intervals = Intervals.fit(["conv"] * 2000, measured, np.ones(2000), difficulty=difficulty)
    easy, hard = intervals.of("conv", 1.0, 0.5), intervals.of("conv", 1.0, 5.0)
    assert math.log(hard[1]) == pytest.approx(10.0 * math.log(easy[1]))
    for own in (difficulty < 2.0, difficulty > 8.0):
        ends = np.array([intervals.of("conv", 1.0, d) for d in difficulty[own]])
        assert 0.85 <= covered(measured[own], ends[:, 0], ends[:, 1]) <= 0.95


def test_without_samples_an_interval_says_nothing():
    intervals = Intervals.fit([], [], [])
    assert intervals.of("conv", 1.0)[1] == pytest.approx(math.exp(WIDEST))


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(18, 20, 0.683, 0.988), (0, 10, 0.0, 0.308), (10, 10, 0.692, 1.0)],  # tables of Clopper and Pearson
)
def test_a_share_has_its_exact_interval(hits, trials, low, high):
    assert binomial_interval(hits, trials) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(
    "fault",
    [
        lambda: scores([1.0, 0.0], [1.0, 1.0]),
        lambda: scores([1.0], [1.0, 1.0]),
        lambda: scores([math.nan], [1.0]),
        lambda: quantile([1.0], 1.0),
        lambda: Intervals.fit(["conv"], [1.0], [1.0], difficulty=[0.0]),
        lambda: binomial_interval(2, 1),
    ],
)
def test_what_cannot_work_is_refused(fault):
    with pytest.raises(ConfigError):
        fault()
