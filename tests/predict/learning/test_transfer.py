"""A few samples of a new device correct another's predictor, and beat learning from nothing."""

import json

import numpy as np
import pytest

from contracts_learners import check_answers, convolutions
from juggler.errors import ConfigError, DataError
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import LEARNERS, TRANSFERRED, load, pack, save, unpack
from juggler.predict.learning.learners.roofline_trees import RooflineTrees
from juggler.predict.learning.scores import mape
from juggler.predict.learning.transfer import transfer


def on_another(table, latency_ms):
    """Return what the kernels would take on a device of less bandwidth that is good at 3 x 3 kernels."""
    return (latency_ms + table["bytes"] / 3e7) * np.where(table["kernel_height"] == 3.0, 0.6, 1.3)


@pytest.fixture(scope="module")
def source():
    return RooflineTrees(members=1).fit(*convolutions(600))


@pytest.fixture(scope="module")
def moved(source):
    table, first = convolutions(60, seed=2)
    return transfer("roofline_trees", source, table, on_another(table, first), seed=1)


def test_it_beats_the_source_and_learning_from_nothing(source, moved):
    some, first = convolutions(60, seed=2)
    alone = RooflineTrees(members=1).fit(some, on_another(some, first))
    table, latency_ms = convolutions(300, seed=3)
    measured = on_another(table, latency_ms)
    errors = [mape(measured, one.predict(table)) for one in (moved, source, alone)]
    check_answers(moved.predict(table), 300)
    assert errors[0] < 0.7 * min(errors[1:])


def test_a_saved_one_predicts_the_same(moved, tmp_path):
    table, _ = convolutions(30, seed=4)
    wanted = moved.predict(table)
    assert np.array_equal(load(save(tmp_path / "moved.npz", TRANSFERRED, moved)).predict(table), wanted)
    packed, arrays = pack(TRANSFERRED, moved)
    assert np.array_equal(unpack(json.loads(json.dumps(packed)), arrays).predict(table), wanted)


def test_it_starts_from_any_learner_and_from_a_corrected_one(moved):
    table, first = convolutions(40, seed=5)
    plain = LEARNERS.get("polynomial").fit(*convolutions(200))
    target = on_another(table, first)
    for name, start in (("polynomial", plain), (TRANSFERRED, moved)):
        found = transfer(name, start, table, target)
        assert mape(target, found.predict(table)) < mape(target, start.predict(table))
        packed, arrays = pack(TRANSFERRED, found)
        assert np.array_equal(unpack(packed, arrays).predict(table), found.predict(table))


def test_what_it_refuses(source):
    table, target = convolutions(7)
    with pytest.raises(DataError, match="7 of them"):
        transfer("roofline_trees", source, table, target)
    dense = KernelTable("dense", {"in_channels": np.arange(8, 20), "out_channels": 4})
    with pytest.raises(ConfigError, match="fitted on 'conv'"):
        transfer("roofline_trees", source, dense, np.ones(12))
