"""Every learner meets the contract; what was fitted is kept in files that run nobody's code."""

import dataclasses
import zipfile

import numpy as np
import pytest

from contracts_learners import check_learner, convolutions
from juggler.errors import ArtefactError, ConfigError
from juggler.predict.learning.learner import LEARNERS, learners_from_samples, load, pack, save, unpack
from juggler.predict.learning.learners.polynomial import terms
from juggler.predict.learning.learners.roofline_trees import RooflineTrees
from juggler.predict.learning.scores import mape


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    table, target = convolutions(60)
    fitted = LEARNERS.get("polynomial").fit(table, target)
    return save(tmp_path_factory.mktemp("fitted") / "polynomial.npz", "polynomial", fitted), fitted, table


@pytest.mark.parametrize("name", learners_from_samples())
def test_the_contract(name):
    check_learner(name, LEARNERS.get(name))


def test_what_needs_a_source_is_a_learner_too_but_is_not_compared():
    assert {*LEARNERS.names()} - {*learners_from_samples()} == {"transferred"}


def test_a_name_misspelt():
    with pytest.raises(ConfigError, match="Did you mean 'resperfnet'"):
        LEARNERS.get("resperfnets")


def test_a_file_reads_the_same(saved):
    path, fitted, table = saved
    assert np.array_equal(load(path).predict(table), fitted.predict(table))


def test_files_that_are_no_learners(saved, tmp_path):
    path = tmp_path / "other.npz"
    with pytest.raises(ArtefactError, match="no such file"):
        load(path)
    saved_bytes = saved[0].read_bytes()
    for content in (b"", b"text", saved_bytes[: len(saved_bytes) // 2]):
        path.write_bytes(content)
        with pytest.raises(ArtefactError, match="no zip archive"):
            load(path)
    with path.open("wb") as file:
        np.savez(file, json=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ArtefactError, match="elements of object"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(ArtefactError, match=r"no \.npy file"):
        load(path)


def test_another_format_and_damage(saved):
    packed, arrays = pack("polynomial", saved[1])
    with pytest.raises(ArtefactError, match="format 99"):
        unpack({**packed, "format": 99}, arrays)
    with pytest.raises(ArtefactError, match="damaged"):
        unpack(packed, {})
    trees, content = pack("xgboost_log", LEARNERS.get("xgboost_log").fit(*convolutions(60)))
    torn = {name: array[:50] for name, array in content.items()}
    with pytest.raises(ArtefactError, match="damaged"):
        unpack(trees, torn)


def test_settings_are_chosen_on_the_validation_that_is_given():
    table, target = convolutions(120)
    train, held = table.take(np.arange(80)), table.take(np.arange(80, 120))
    learner = LEARNERS.get("xgboost_log")
    sound = learner.fit(train, target[:80], validation=(held, target[80:]))
    shuffled = np.random.default_rng(0).permutation(target[80:])
    misled = learner.fit(train, target[:80], validation=(held, shuffled))
    # Where the held latencies have nothing to do with the kernels, fewer trees are best.
    assert misled.settings["rounds"] < 0.5 * sound.settings["rounds"]
    assert mape(target[80:], sound.predict(held)) < mape(target[80:], misled.predict(held))


def test_trees_on_ratios_go_on_where_plain_trees_stop():
    table, target = convolutions(300)
    order = np.argsort(target)
    small, large = order[:240], order[-20:]
    ratio = RooflineTrees(members=1).fit(table.take(small), target[small])
    plain = LEARNERS.get("xgboost_log").fit(table.take(small), target[small])
    errors = [mape(target[large], fitted.predict(table.take(large))) for fitted in (ratio, plain)]
    assert errors[0] < 30.0 < errors[1]


def test_terms_of_a_polynomial():
    products = terms(np.array([[2.0, 3.0]]), 2)
    assert products.tolist() == [[1.0, 2.0, 3.0, 4.0, 6.0, 9.0]]


def test_settings_are_kept_with_the_trees():
    fitted = RooflineTrees(members=2).fit(*convolutions(60))
    assert len(fitted.boosters.contents) == 2
    assert dataclasses.asdict(fitted.chosen) == fitted.settings
