"""Unit costs of counted work: what few kernels are odd by is not charged to others a hundredfold."""

import numpy as np
import pytest

from juggler.predict.learning.unit_costs import DEAR_MS, DEARER, _fit

NEAR_MS = 1e-6  # a byte, wherever it comes from


def kernels(odd: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return counts and times; eight kernels move a little from far and take `odd` times as long."""
    rng = np.random.default_rng(3)
    read = np.exp(rng.uniform(np.log(1e4), np.log(1e6), 120))
    far = np.concatenate([np.full(8, 2e3), np.zeros(112)])
    counts = {"call": np.ones(120), "input": read, "moved_4": far, "moved_20": far}
    times = (1e-2 + NEAR_MS * read) * np.where(far > 0.0, odd, 1.0)
    return counts, times


def test_prices_within_bounds_are_those_that_were_paid():
    counts, times = kernels(1.0)
    counts["moved_20"] = counts["input"] * 0.5 * (counts["input"] > 3e5)
    unit_costs = _fit(counts, times + 2.0 * NEAR_MS * counts["moved_20"])
    assert unit_costs["input"] == pytest.approx(NEAR_MS, rel=0.05)
    assert unit_costs["moved_20"] == pytest.approx(2.0 * NEAR_MS, rel=0.05)


def test_a_byte_from_far_away_costs_a_few_times_one_from_near():
    unit_costs = _fit(*kernels(3.0))
    nearer = unit_costs["input"]
    for name in ("moved_4", "moved_20"):
        assert unit_costs[name] <= max(DEARER * nearer, DEAR_MS) * (1.0 + 1e-5), name
        nearer += unit_costs[name]
    assert unit_costs["input"] == pytest.approx(NEAR_MS, rel=0.2), "what is paid elsewhere is still found"


def test_where_no_byte_has_a_price_a_far_one_may_have_some():
    counts, _ = kernels(3.0)
    del counts["input"], counts["moved_4"]
    unit_costs = _fit(counts, np.where(counts["moved_20"] > 0.0, 3e-2, 1e-2))
    assert unit_costs["moved_20"] == pytest.approx(DEAR_MS)
