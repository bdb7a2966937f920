"""Scores against values worked out by hand, and ranks against their definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggler.errors import DataError
from juggler.predict.learning.scores import Scores, ranks, score


def test_by_hand():
    found = score([1.0, 2.0, 4.0, 10.0], [1.04, 1.85, 5.0, 10.0])
    assert found.n == 4
    assert found.mape == pytest.approx((4.0 + 7.5 + 25.0 + 0.0) / 4)
    assert (found.within_5, found.within_10) == (50.0, 75.0)
    assert found.mae_ms == pytest.approx((0.04 + 0.15 + 1.0) / 4)
    assert found.rmse_ms == pytest.approx(np.sqrt((0.0016 + 0.0225 + 1.0) / 4))
    assert found.spearman == pytest.approx(1.0)
    assert Scores.from_json(found.to_json()) == found


def test_order_and_variance():
    assert score([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]).spearman == pytest.approx(-1.0)
    assert score([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]).r_squared == pytest.approx(0.0)
    assert score([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]).spearman == 0.0
    assert score([2.0, 2.0], [2.0, 2.0]).r_squared == 0.0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_ranks_are_means_over_equal_values(values):
    found = ranks(np.array(values, float))
    wanted = [sum(v < x for v in values) + (sum(v == x for v in values) - 1) / 2 for x in values]
    assert found.tolist() == wanted


@pytest.mark.parametrize(
    ("measured", "predicted"),
    [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [np.nan]), ([np.inf], [1.0]), ([[1.0]], [[1.0]])],
)
def test_what_cannot_be_scored(measured, predicted):
    with pytest.raises(DataError, match="score predictions"):
        score(measured, predicted)
