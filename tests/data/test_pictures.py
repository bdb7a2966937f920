import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggler.data import Pictures, Standard, TrainPictures, examples, load_set
from juggler.data.pictures import even_draw, pictures_sha256
from juggler.errors import ConfigError, DataError
from made_pictures import drawn

CLASSES = ("cat", "dog", "eel")


def made(count=30, classes=CLASSES, kind=Pictures, seed=0):
    images, labels = drawn(count, len(classes), seed, size=4)
    return kind.from_arrays(images, labels, classes, "a test", ("a note",))


@st.composite
def labelled(draw):
    """Labels of up to six classes of uneven sizes, some of them without one picture."""
    sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(lambda sizes: sum(sizes) > 1))
    order = np.random.default_rng(draw(st.integers(0, 9))).permutation(sum(sizes))
    return np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)[order]


@given(labelled(), st.data())
def test_a_draw_is_even_over_the_classes_and_the_same_for_its_seed(labels, data):
    count = data.draw(st.integers(1, len(labels)))
    seed = data.draw(st.integers(0, 2**32))
    rows = even_draw(labels, count, seed)
    assert rows.tolist() == sorted({*rows.tolist()}) and len(rows) == count
    assert rows.tolist() == even_draw(labels, count, seed).tolist()
    exact = np.bincount(labels) * count / len(labels)
    assert (abs(np.bincount(labels[rows], minlength=len(exact)) - exact) < 1).all()


@given(labelled(), st.data())
def test_a_split_loses_and_repeats_nothing(labels, data):
    count = data.draw(st.integers(1, len(labels) - 1))
    numbers = np.arange(len(labels))
    images = np.stack([numbers % 256, numbers // 256]).T.astype(np.uint8).reshape(-1, 2, 1, 1)
    whole = TrainPictures.from_arrays(images, labels, [str(i) for i in range(labels.max() + 1)])
    rest, held_out = whole.split(count, seed=data.draw(st.integers(0, 99)))
    found = [part.images[:, 0, 0, 0] + 256 * part.images[:, 1, 0, 0].astype(int) for part in (rest, held_out)]
    assert len(held_out) == count and sorted(np.concatenate(found).tolist()) == numbers.tolist()
    for part, rows in zip((rest, held_out), found, strict=True):
        np.testing.assert_array_equal(part.labels, labels[rows])
        assert part.sha256 == pictures_sha256(part.images, part.labels)
    assert type(rest) is TrainPictures and type(held_out) is Pictures


def test_another_seed_draws_others():
    pictures = made(300)
    draws = [pictures.subset(30, seed).sha256 for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_what_is_taken_keeps_type_classes_and_notes():
    train = made(kind=TrainPictures)
    few = train.take(train.labels == 1)
    assert type(few) is TrainPictures and {*few.labels.tolist()} == {1}
    assert (few.classes, few.notes, few.source) == (CLASSES, ("a note",), "a test")
    assert few.counts().tolist() == [0, len(few), 0] and few.shape == (3, 4, 4)
    np.testing.assert_array_equal(train.take([2, 0]).images, train.images[[2, 0]])
    assert train.take([0, 1]).sha256 != train.take([1, 0]).sha256


@pytest.mark.parametrize(("count", "seed"), [(0, 1), (-1, 1), (31, 1), (5, -1)])
def test_no_subset_of_what_is_not_there(count, seed):
    with pytest.raises(ConfigError, match="there are 30 in a test"):
        made().subset(count, seed)
    with pytest.raises(ConfigError, match="from 1 to 29"):
        made().split(30, 1)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 3, 4, 4), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2, np.int32)),
        (np.zeros((2, 3, 4), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 4, 4), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((2, 3, 4, 4), np.uint8), np.array([0, 3])),
        (np.zeros((2, 3, 4, 4), np.uint8), np.array([0, -1])),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(images, labels):
    with pytest.raises(DataError, match="pictures from memory"):
        Pictures.from_arrays(images, labels, CLASSES)


def test_the_digest_is_of_content_order_labels_and_shape():
    images, labels = drawn(6, 3, size=4)
    digest = pictures_sha256(images, labels)
    transposed = np.asfortranarray(images)  # laid out in another way, the same pictures
    assert pictures_sha256(transposed, labels) == digest
    others = [(images[::-1], labels), (images, labels[::-1].copy()), (images.reshape(6, 3, 2, 8), labels)]
    assert len({digest, *(pictures_sha256(*other) for other in others)}) == 4


def test_a_standard_has_the_mean_and_the_deviation_of_the_training_pictures():
    train = made(50, kind=TrainPictures)
    standard = Standard.fit(train)
    scaled = train.images.astype(np.float64) / 255
    np.testing.assert_allclose(standard.mean, scaled.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(standard.sd, scaled.std(axis=(0, 2, 3)), rtol=1e-12)
    by_channel = np.array(standard.mean)[:, None, None], np.array(standard.sd)[:, None, None]
    found = standard.apply(train.images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (scaled - by_channel[0]) / by_channel[1], rtol=1e-5, atol=1e-6)
    assert Standard.from_json(standard.to_json()) == standard


def test_a_channel_that_never_changes_becomes_zero():
    images = np.full((4, 2, 3, 3), 7, np.uint8)
    images[0, 1] = 9
    standard = Standard.fit(TrainPictures.from_arrays(images, np.zeros(4, np.int64), CLASSES))
    assert standard.sd[0] == 1 and (standard.apply(images)[:, 0] == 0).all()


def test_standards_are_fitted_on_training_pictures_and_on_nothing_else():
    for other in (made(), made().images, None):
        with pytest.raises(ConfigError, match="which are TrainPictures"):
            Standard.fit(other)
    empty = TrainPictures.from_arrays(np.zeros((0, 3, 4, 4), np.uint8), np.zeros(0, np.int64), CLASSES)
    with pytest.raises(DataError, match="no pixels"):
        Standard.fit(empty)


def test_a_standard_refuses_what_it_was_not_fitted_for():
    standard = Standard.fit(made(kind=TrainPictures))
    for images in (
        np.zeros((1, 1, 4, 4), np.uint8),
        np.zeros((1, 3, 4, 4), np.float32),
        np.zeros((3, 4, 4), np.uint8),
    ):
        with pytest.raises(DataError, match="standardise pictures of 3 channels"):
            standard.apply(images)
    for mean, sd in [((0.5,), (0.0,)), ((), ()), ((0.5,), (0.5, 0.5)), ((float("nan"),), (1.0,))]:
        with pytest.raises(ConfigError):
            Standard(mean, sd)


def test_records_come_as_examples_too():
    synthetic = load_set("synthetic")
    found = examples(synthetic, "test")
    records = synthetic.load("test")
    assert found.images.dtype == np.float32 and found.images.ndim == 4 and len(found.images) == len(records)
    np.testing.assert_array_equal(found.labels, records.classes())
    assert found.classes == synthetic.schema.classes


def test_the_name_of_0_1_0_still_makes_pictures() -> None:
    images, labels = np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2, np.int64)
    with pytest.warns(DeprecationWarning, match="Pictures.made is now from_arrays"):
        assert (
            Pictures.made(images, labels, CLASSES).sha256
            == Pictures.from_arrays(images, labels, CLASSES).sha256
        )
