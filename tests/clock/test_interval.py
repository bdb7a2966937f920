"""The interval of a median: its coverage on series whose truth is 0, and what it is by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggler.clock.interval import median_interval, order_statistic

SERIES = 400
FEWEST = 367  # 95 % less three standard deviations of a binomial, 380 - 3 * 4.4
Draw = Callable[[np.random.Generator, int], np.ndarray]


def even(generator: np.random.Generator, n: int) -> np.ndarray:
    return generator.normal(0.0, 0.05, n)


def spiky(generator: np.random.Generator, n: int) -> np.ndarray:
    turns = generator.lognormal(0.0, 0.1, (n, 2)) + (generator.random((n, 2)) < 0.2) * generator.pareto(
        1.0, (n, 2)
    )
    return np.log(turns[:, 0] / turns[:, 1])


def drifting(generator: np.random.Generator, n: int) -> np.ndarray:
    """Draw a machine that wanders from turn to turn, and in each round who goes first."""
    turns = np.cumsum(generator.normal(0.0, 0.05, 2 * n)).reshape(n, 2)
    return (turns[:, 0] - turns[:, 1]) * generator.choice([-1.0, 1.0], n) + generator.normal(0.0, 0.01, n)


def alike(generator: np.random.Generator, n: int) -> np.ndarray:
    """Draw ratios of which each resembles the one before it, by a correlation of 0.3."""
    series = generator.normal(size=n)
    for index in range(1, n):
        series[index] = 0.3 * series[index - 1] + series[index] * (1.0 - 0.3**2) ** 0.5
    return series


@pytest.mark.parametrize("n", [6, 10, 20, 30])
@pytest.mark.parametrize("draw", [even, spiky, drifting])
def test_coverage(draw: Draw, n: int) -> None:
    assert covered(draw, n) >= FEWEST


@pytest.mark.parametrize("n", [10, 20, 30])
def test_coverage_where_neighbours_are_alike(n: int) -> None:
    assert covered(alike, n) >= 360  # 90 %; a plain bootstrap has about 340


def covered(draw: Draw, n: int) -> int:
    generator = np.random.default_rng(n)
    intervals = [median_interval(draw(generator, n), seed=seed, resamples=200) for seed in range(SERIES)]
    return sum(low <= 0.0 <= high for low, high in intervals)


@given(st.integers(1, 600))
def test_order_statistics_are_the_sign_tests(n: int) -> None:
    left_out = order_statistic(n)

    def missed(k: int) -> float:
        return 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n

    assert n < 6 or missed(left_out) <= 0.05
    assert missed(left_out + 1) > 0.05


@given(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=40), st.integers(0, 5))
def test_ends_are_values_and_hold_the_median(values: list[float], seed: int) -> None:
    low, high = median_interval(np.array(values), seed=seed, resamples=50)
    assert {low, high} <= set(values)
    assert low <= np.median(values) <= high


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_values_give_the_smallest_and_the_largest(n: int) -> None:
    assert median_interval(np.arange(1.0, n + 1.0)) == (1.0, float(n))
