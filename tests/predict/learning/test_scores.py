"""Scores against values worked out by hand, and the rank correlation against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler.errors import DataError
from juggler.predict.learning.scores import Scores, score


def test_by_hand():
    scores = score([1.0, 2.0, 4.0, 10.0], [1.04, 1.85, 5.0, 10.0])
    assert scores.n == 4
    assert scores.mape == pytest.approx((4.0 + 7.5 + 25.0 + 0.0) / 4)
    assert (scores.within_5, scores.within_10) == (50.0, 75.0)
    assert scores.mae_ms == pytest.approx((0.04 + 0.15 + 1.0) / 4)
    assert scores.rmse_ms == pytest.approx(np.sqrt((0.0016 + 0.0225 + 1.0) / 4))
    assert scores.spearman == pytest.approx(1.0)
    assert Scores.from_json(scores.to_json()) == scores


def test_order_and_variance():
    assert score([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]).spearman == pytest.approx(-1.0)
    assert score([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]).r_squared == pytest.approx(0.0)
    assert score([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]).spearman == 0.0
    assert score([2.0, 2.0], [2.0, 2.0]).r_squared == 0.0


def ranks(values):
    return [sum(v < x for v in values) + (sum(v == x for v in values) - 1) / 2 for x in values]


@settings(deadline=None)  # the first imports scipy
@given(st.lists(st.integers(1, 5), min_size=2, max_size=12), st.integers(0, 1000))
def test_equal_values_share_the_mean_of_their_ranks(values, seed):
    measured = np.array(values, float)
    predicted = np.random.default_rng(seed).integers(1, 6, len(values)).astype(float)
    correlation = score(measured, predicted).spearman
    if np.ptp(measured) == 0.0 or np.ptp(predicted) == 0.0:
        assert correlation == 0.0
    else:
        expected = np.corrcoef(ranks(measured), ranks(predicted))[0, 1]
        assert correlation == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("measured", "predicted"),
    [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [np.nan]), ([np.inf], [1.0]), ([[1.0]], [[1.0]])],
)
def test_what_cannot_be_scored(measured, predicted):
    with pytest.raises(DataError, match="score predictions"):
        score(measured, predicted)
