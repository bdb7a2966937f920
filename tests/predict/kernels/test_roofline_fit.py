"""The roofline finds the costs that made the times, bends to no outlier, and grows with the work."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts_learners import convolutions
from juggler.predict.kernels.roofline import Roofline
from juggler.predict.kernels.table import KernelTable


def error(roofline, table, target):
    return np.abs(np.log(target / roofline.latency_ms(table))).mean()


def test_it_finds_what_made_the_times():
    table, _ = convolutions(400)
    target = 0.05 + table["operations"] / 2e8 + table["bytes"] / 2e7
    roofline = Roofline.fit(table, target)
    assert error(roofline, table, target) < 0.01
    assert 1.8e8 < 1.0 / roofline.costs[1] < 2.2e8
    assert Roofline.from_json(roofline.to_json()) == roofline


def test_a_few_kernels_far_off_do_not_bend_it():
    table, _ = convolutions(400)
    target = 0.05 + table["operations"] / 2e8 + table["bytes"] / 2e7
    spoilt = target * np.where(np.arange(400) % 20 == 0, 30.0, 1.0)
    assert error(Roofline.fit(table, spoilt), table, target) < 0.03


# What release 0.1.0 fitted to these kernels, by Levenberg-Marquardt steps of its own.
COSTS = {
    60: (
        *(0.0480088, 5.82385e-09, 1.37834e-07, 4.22287e-08, 2.19449e-08, 3.96191e-08, 2.23895e-07),
        *(6.1542e-08, 4.02572e-05, 0.000610181, 4.28402e-05),
    ),
    400: (
        *(0.0504825, 5.85338e-09, 6.64312e-08, 4.74578e-08, 4.23782e-08, 6.71289e-08, 3.73606e-08),
        *(4.63702e-08, 1.10287e-06, 2.82353e-05, 9.11316e-07),
    ),
}


@pytest.mark.parametrize("count", COSTS)
def test_it_is_no_worse_than_the_last_release_on_rows_it_saw_and_on_others(count):
    before = Roofline("conv", COSTS[count])
    after = Roofline.fit(*convolutions(count))
    for table, target in (convolutions(count), convolutions(300, seed=9)):
        assert error(after, table, target) < 1.001 * error(before, table, target)


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 40), st.integers(0, 5))
def test_it_is_positive_and_grows_with_batch(count, seed):
    table, target = convolutions(count, seed)
    roofline = Roofline.fit(table, target)
    batches = {"batch": [1, 2, 64, 4096]}
    sizes = {"in_channels": 64, "out_channels": 64, "height": 56, "width": 56}
    latency = roofline.latency_ms(KernelTable("conv", {**sizes, **batches}))
    assert (latency > 0.0).all() and (np.diff(latency) > 0.0).all()


def test_a_family_without_weights_or_work():
    table = KernelTable("add", {"in_channels": np.arange(1, 40), "out_channels": np.arange(1, 40)})
    target = 0.01 + table["bytes"] / 1e4
    assert error(Roofline.fit(table, target), table, target) < 0.02
