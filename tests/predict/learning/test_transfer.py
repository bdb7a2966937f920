"""A few samples of a new device correct another's predictor, and beat learning from nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from contracts_learners import check_answers, convolutions
from juggler.errors import ConfigError, DataError
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import LEARNERS, load, pack, save, unpack
from juggler.predict.learning.learners.roofline_trees import RooflineTrees
from juggler.predict.learning.learners.transferred import Transferred, transfer
from juggler.predict.learning.scores import mape

RELEASE = Path(__file__).parent / "release-0.1.0"


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
    errors = [mape(measured, predictor.predict(table)) for predictor in (moved, source, alone)]
    check_answers(moved.predict(table), 300)
    assert errors[0] < 0.7 * min(errors[1:])


def test_a_saved_one_predicts_the_same(moved, tmp_path):
    table, _ = convolutions(30, seed=4)
    expected_ms = moved.predict(table)
    assert np.array_equal(
        load(save(tmp_path / "moved.npz", "transferred", moved)).predict(table), expected_ms
    )
    packed, arrays = pack("transferred", moved)
    assert np.array_equal(unpack(json.loads(json.dumps(packed)), arrays).predict(table), expected_ms)


def test_it_starts_from_any_learner_and_from_a_corrected_one(moved):
    table, first = convolutions(40, seed=5)
    plain = LEARNERS.get("polynomial").fit(*convolutions(200))
    target = on_another(table, first)
    for name, start in (("polynomial", plain), ("transferred", moved)):
        corrected = transfer(name, start, table, target)
        assert mape(target, corrected.predict(table)) < mape(target, start.predict(table))
        packed, arrays = pack("transferred", corrected)
        assert np.array_equal(unpack(packed, arrays).predict(table), corrected.predict(table))


def test_it_is_a_learner_once_it_has_a_source(source, moved):
    table, first = convolutions(60, seed=2)
    learner, target = LEARNERS.get("transferred"), on_another(table, first)
    assert learner.name == "transferred" and learner.summary
    with pytest.raises(ConfigError, match="no source to correct"):
        learner.fit(table, target)
    steps = []
    with_source = Transferred(source_name="roofline_trees", source=source)
    again = with_source.fit(table, target, seed=1, progress=lambda at: steps.append((at.done, at.total)))
    assert np.array_equal(again.predict(table), moved.predict(table)) and steps == [(1, 1)]


def test_a_file_of_release_0_1_0_answers_as_it_did():
    expected_ms = np.loadtxt(RELEASE / "transferred_ms.txt")
    table, _ = convolutions(12, seed=7)
    assert load(RELEASE / "transferred.npz").predict(table) == pytest.approx(expected_ms, rel=1e-9)


def test_what_it_refuses(source):
    table, target = convolutions(7)
    with pytest.raises(DataError, match="7 of them"):
        transfer("roofline_trees", source, table, target)
    dense = KernelTable("dense", {"in_channels": np.arange(8, 20), "out_channels": 4})
    with pytest.raises(ConfigError, match="fitted on 'conv'"):
        transfer("roofline_trees", source, dense, np.ones(12))
