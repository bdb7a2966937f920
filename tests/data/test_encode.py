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
    assert images.min() >= -1 and images.max() <= 1
    assert encoder.encode(test_part.take([])).shape == (0, *encoder.shape)


def test_header_features_by_default_and_all_on_request(encoder, train, test_part):
    assert encoder.features == train.schema.header_features and encoder.shape == (CHANNELS, 4, 7)
    whole = data.Encoder.fit(train, train.schema.all_features)
    assert whole.shape == (CHANNELS, 6, 7)
    images = whole.encode(test_part)
    assert not images[:, :, 5, 6].any()  # 41 features leave one cell empty
    cells = [cell for cells in whole.feature_cells.values() for cell in cells]
    assert len({*cells}) == len(cells) == 41


def test_codes_by_hand(encoder, test_part):
    image = {name: encoder.encode(test_part)[:, :, r, c] for name, ((r, c),) in encoder.feature_cells.items()}
    flags = np.eye(CHANNELS, dtype=np.float32)[test_part["flag"].astype(int)]
    np.testing.assert_array_equal(image["flag"], flags)
    knots = {code.feature: np.array(code.knots) for code in encoder.codes}
    for name, values in (
        ("src_bytes", np.log1p(test_part["src_bytes"])),
        ("serror_rate", test_part["serror_rate"]),
    ):
        low, high = knots[name][:-1], knots[name][1:]
        expected = np.clip((values[:, None] - low) / (high - low), 0, 1)
        np.testing.assert_allclose(image[name], expected, atol=1e-5)


def test_a_service_is_coded_by_what_training_holds(encoder, train):
    table = np.array(next(code.table for code in encoder.codes if code.feature == "service"))
    words = train.schema.column["service"].vocabulary
    http, ecr_i, unknown = table[words.index("http")], table[words.index("ecr_i")], table[-1]
    assert http[0] > 0 > http[1]  # normal is likelier with http, dos is not
    assert ecr_i[1] > 0 > ecr_i[0]
    assert not unknown.any()
    assert http[-1] > ecr_i[-1] > table[words.index("aol"), -1] == 0  # log frequency


def test_what_training_never_met_stays_zero(encoder, test_part):
    codes, numbers = np.full_like(test_part.codes, -1), np.full_like(test_part.numbers, 1.0)
    numbers[test_part.schema.numeric.index("land")] = 7.0  # always 0 in training
    images = encoder.encode(dataclasses.replace(test_part, codes=codes, numbers=numbers))
    for name in ("protocol_type", "service", "flag", "land"):
        ((r, c),) = encoder.feature_cells[name]
        assert not images[:, :, r, c].any()


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
    steps = np.diff(knots)
    growing = np.count_nonzero(steps)
    assert (steps[:growing] > 0).all() and not steps[growing:].any()
    assert knots[0] == values.min() and knots[-1] == values.max()


@given(st.integers(1, 100))
def test_the_grid_holds_the_features(n):
    height, width = grid(n)
    assert height * width >= n and height <= width <= 2 * height
