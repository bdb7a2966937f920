import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from juggler import data
from juggler.data.codes import CHANNELS, knots_of
from juggler.data.encode import grid
from juggler.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def train():
    return data.load_set("synthetic").training()


@pytest.fixture(scope="module")
def test_part():
    return data.load_set("synthetic").load("test")


@pytest.fixture(scope="module")
def encoder(train):
    return data.Encoder.fit(train)


def test_json_restores_the_same_encoder(encoder, test_part):
    again = data.Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    np.testing.assert_array_equal(again.encode(test_part), encoder.encode(test_part))


def test_one_record_is_encoded_as_in_a_batch(encoder, test_part):
    images = encoder.encode(test_part)
    assert images.dtype == np.float32 and images.shape == (len(test_part), *encoder.shape)
    for i in (0, 1, 2047, 2048, len(test_part) - 1):
        np.testing.assert_array_equal(encoder.encode(test_part.take([i]))[0], images[i])
    assert images.min() == 0 and images.max() == 1
    assert encoder.encode(test_part.take([])).shape == (0, *encoder.shape)


def test_header_features_by_default_and_all_on_request(encoder, train, test_part):
    # 70 services take five cells of 16 channels, every other feature one.
    assert encoder.features == train.schema.header_features and encoder.shape == (CHANNELS, 4, 8)
    assert {name: len(cells) for name, cells in encoder.feature_cells.items() if len(cells) > 1} == {
        "service": 5
    }
    whole = data.Encoder.fit(train, train.schema.all_features)
    assert whole.shape == (CHANNELS, 5, 9)
    cells = [cell for cells in whole.feature_cells.values() for cell in cells]
    assert len({*cells}) == len(cells) == 45
    some = data.Encoder.fit(train, train.schema.all_features[4:11])
    assert some.shape == (CHANNELS, 2, 4) and not some.encode(test_part)[:, :, 1, 3].any()  # one cell is left


def cells_of(encoder, images, name):
    """Return a feature's cells side by side, `[n, cells * channels]`."""
    return np.concatenate([images[:, :, r, c] for r, c in encoder.feature_cells[name]], axis=1)


def test_numbers_by_hand(encoder, test_part):
    images = encoder.encode(test_part)
    knots = {code.feature: np.array(code.knots) for code in encoder.codes}
    for name, values in (
        ("src_bytes", np.log1p(test_part["src_bytes"])),
        ("serror_rate", test_part["serror_rate"]),
    ):
        low, width = knots[name][:-1], np.diff(knots[name])
        expected = np.zeros((len(values), CHANNELS))
        np.divide(values[:, None] - low, width, out=expected, where=width > 0)
        # Between near knots, float32 shows.
        np.testing.assert_allclose(cells_of(encoder, images, name), expected.clip(0, 1), atol=1e-4)


def test_words_have_a_channel_each_and_unknown_words_none(encoder, test_part):
    images = encoder.encode(test_part)
    for name in ("protocol_type", "service", "flag"):
        cells = cells_of(encoder, images, name)
        assert (cells.sum(1) == 1).all()
        np.testing.assert_array_equal(cells.argmax(1), test_part[name])


def test_what_training_never_met_stays_zero(encoder, test_part):
    codes, numbers = np.full_like(test_part.codes, -1), np.full_like(test_part.numbers, 1.0)
    numbers[test_part.schema.numeric.index("land")] = 7.0  # always 0 in training
    images = encoder.encode(dataclasses.replace(test_part, codes=codes, numbers=numbers))
    for name in ("protocol_type", "service", "flag", "land"):
        assert not cells_of(encoder, images, name).any()


def test_without_a_feature_its_cells_are_neutral_and_no_other_changes(encoder, test_part, train):
    some = test_part.take(range(50))
    images, median = encoder.encode(some), np.median(train["src_bytes"][train.classes() == 0])
    numbers = some.numbers.copy()
    numbers[some.schema.numeric.index("src_bytes")] = median
    replaced = encoder.encode(dataclasses.replace(some, numbers=numbers))
    np.testing.assert_array_equal(encoder.encode_without(some, "src_bytes"), replaced)
    assert (replaced != images).any()
    one = some.take([3])
    each = encoder.encode_without_each(one)
    for i, name in enumerate(encoder.features):
        np.testing.assert_array_equal(each[i], encoder.encode_without(one, name)[0])
    with pytest.raises(ConfigError, match="one record"):
        encoder.encode_without_each(some)
    with pytest.raises(ConfigError, match="hot"):
        encoder.encode_without(some, "hot")


def test_what_cannot_be_encoded_is_refused(encoder, train, test_part):
    with pytest.raises(ConfigError, match="colour"):
        data.Encoder.fit(train, ("duration", "colour"))
    with pytest.raises(ConfigError, match="given twice"):
        data.Encoder.fit(train, ("duration", "duration"))
    with pytest.raises(DataError, match="no normal record"):
        data.Encoder.fit(train.take(train.classes() > 0))
    other = dataclasses.replace(test_part.schema, version=99)
    with pytest.raises(DataError, match="version 99"):
        encoder.encode(dataclasses.replace(test_part, schema=other))
    broken = encoder.to_dict()
    broken["channels"] = 3
    with pytest.raises(ConfigError, match="knots"):
        data.Encoder.from_dict(broken)


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1e9)))
def test_knots_grow_and_cover_the_values(values):
    knots = knots_of(values)
    assert len(knots) == CHANNELS + 1
    steps, above = np.diff(knots), values[values > 0]
    growing = np.count_nonzero(steps)
    assert (steps[:growing] > 0).all() and not steps[growing:].any()
    assert knots[0] == 0
    if len(above):  # the last knot is the largest value, or one too near to it to be told apart
        assert above.max() * 0.999 <= knots[-1] <= above.max()
        assert (steps[:growing] >= above.max() / 1000 * 0.999).all()


@given(st.integers(1, 100))
def test_the_grid_holds_the_features(n):
    height, width = grid(n)
    assert height * width >= n and height <= width <= 2 * height
