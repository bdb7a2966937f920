"""Splits cover every row once, keep groups whole, and depend on the seed alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggler.errors import ConfigError
from juggler.predict.learning.splits import folds, group_split, random_split


@given(st.integers(2, 200), st.floats(0.3, 0.7), st.integers(0, 9))
def test_random_rows(rows, share, seed):
    train, test = random_split(rows, share=share, seed=seed)
    assert sorted([*train, *test]) == [*range(rows)]
    assert len(train) == round(rows * share)
    again = random_split(rows, share=share, seed=seed)
    assert np.array_equal(again.train, train) and np.array_equal(again.test, test)


@given(st.lists(st.sampled_from("abcd"), min_size=2).filter(lambda groups: len({*groups}) > 1))
def test_groups_stay_whole(groups):
    train, test = group_split(groups)
    assert sorted([*train, *test]) == [*range(len(groups))]
    assert len(train) and len(test)
    assert not {groups[i] for i in train} & {groups[i] for i in test}


@given(st.integers(2, 6), st.integers(6, 40))
def test_folds_hold_every_row_out_once(count, rows):
    parts = folds(rows, count, seed=1)
    assert sorted(np.concatenate([part.test for part in parts])) == [*range(rows)]
    assert all(sorted([*part.train, *part.test]) == [*range(rows)] for part in parts)


def test_seeds_differ():
    assert not np.array_equal(random_split(50, seed=0).test, random_split(50, seed=1).test)


def test_splits_that_cannot_be():
    for call in (
        lambda: random_split(1),
        lambda: random_split(10, share=1.0),
        lambda: group_split(["a", "a"]),
        lambda: group_split(["a", "b"], share=0.0),
        lambda: folds(3, 4),
        lambda: folds(3, 1),
    ):
        with pytest.raises(ConfigError):
            call()
