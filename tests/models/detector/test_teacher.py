"""Teachers and their lessons, by the real XGBoost on the synthetic set; and mixtures of records."""

import builtins
import dataclasses
import importlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from juggler import data, metrics
from juggler.data import Records, TrainRecords
from juggler.data.rows import parse_block
from juggler.errors import ArtefactError, ConfigError, DataError, Unavailable
from juggler.extras import install_command
from juggler.models.detector.distillation_set import LABELS_FILE, with_hard_labels, with_soft_labels
from juggler.models.detector.ensemble import mix_records
from juggler.models.detector.teacher import Teacher, fit_trees
from juggler.nouns import Progress

SMALL = Teacher(trees=8, depth=4, learning_rate=0.3, mixtures=300)


@pytest.fixture(scope="module")
def train() -> TrainRecords:
    return data.load_set("synthetic").training().take(range(1500))


@pytest.fixture(scope="module")
def held() -> Records:
    return data.load_set("synthetic").load("test")


def as_file(records: Records) -> bytes:
    """Write records as the lines of a file, without attack names."""
    columns = [
        records.words(name) if name in records.schema.categorical else map(repr, map(float, records[name]))
        for name in records.schema.all_features
    ]
    return "".join(",".join(row) + "\n" for row in zip(*columns, strict=True)).encode()


def test_mixtures_are_records_that_the_parser_takes(train: TrainRecords) -> None:
    mixtures = mix_records(train, 500, seed=3)
    again, bad = parse_block(as_file(mixtures), train.schema)
    assert not bad
    np.testing.assert_array_equal(again.numbers, mixtures.numbers)
    np.testing.assert_array_equal(again.codes, mixtures.codes)
    with pytest.raises(DataError, match="carry no attack names"):
        mixtures.classes()


def test_every_value_of_a_mixture_is_one_of_its_column_and_their_combination_is_new(
    train: TrainRecords,
) -> None:
    mixtures = mix_records(train, 400, seed=0)
    for name in train.schema.all_features:
        assert set(mixtures[name].tolist()) <= set(train[name].tolist())
    rows = {column.tobytes() for column in train.numbers.T}
    new = [column.tobytes() not in rows for column in mixtures.numbers.T]
    assert np.mean(new) > 0.6


def test_mixtures_are_drawn_by_the_seed_alone_and_rare_classes_give_more_than_their_part(
    train: TrainRecords,
) -> None:
    first, second, other = (mix_records(train, 2000, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.numbers, second.numbers)
    np.testing.assert_array_equal(first.codes, second.codes)
    assert (first.numbers != other.numbers).any()
    # Failed logins are password guesses: rare in training, mixed more often.
    assert (first["num_failed_logins"] > 0).mean() > 1.5 * (train["num_failed_logins"] > 0).mean()
    assert len(mix_records(train, 0, 0)) == 0
    for count, records in ((-1, train), (5, train.take([]))):
        with pytest.raises(ConfigError, match="mixtures"):
            mix_records(records, count, 0)


def test_trees_learn_and_say_how_far_they_are(train: TrainRecords, held: Records) -> None:
    reports: list[Progress] = []
    teacher = dataclasses.replace(SMALL, ensemble_size=2)
    trees = fit_trees(teacher, train, train.schema.header_features, 0, reports.append)
    assert [(report.stage, report.done, report.total) for report in reports] == [
        ("trees", done, 16) for done in range(1, 17)
    ]
    members = [(report.detail["member"], report.detail["members"]) for report in reports]
    assert members == [(1, 2)] * 8 + [(2, 2)] * 8
    assert reports[7].detail["loss"] < 0.5 * reports[0].detail["loss"]
    found = trees.probabilities(held)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert metrics.area_under_curve(metrics.alarm_scores(found), held.classes() > 0) > 0.85
    # The members differ, and their mean is what teaches.
    each = [dataclasses.replace(trees, members=(member,)).probabilities(held) for member in trees.members]
    assert (each[0] != each[1]).any()
    np.testing.assert_allclose(found, (each[0] + each[1]) / 2, atol=1e-6)


def test_trees_see_the_columns_they_are_given_and_no_others(train: TrainRecords, held: Records) -> None:
    trees = fit_trees(SMALL, train, ("protocol_type", "src_bytes"), 0)
    numbers = np.zeros_like(held.numbers)
    row = held.schema.numeric.index("src_bytes")
    numbers[row] = held.numbers[row]
    same = trees.probabilities(dataclasses.replace(held, numbers=numbers))
    np.testing.assert_array_equal(same, trees.probabilities(held))
    unknown = trees.probabilities(dataclasses.replace(held, codes=np.full_like(held.codes, -1)))
    assert np.isfinite(unknown).all()


def test_trees_and_lessons_are_the_same_for_the_same_seed_only(train: TrainRecords) -> None:
    columns = train.schema.header_features
    labels = [with_soft_labels(SMALL, train, columns, seed).labels for seed in (0, 0, 1)]
    np.testing.assert_array_equal(labels[0], labels[1])
    assert (labels[0] != labels[2]).any()


def test_only_training_records_teach(train: TrainRecords, held: Records) -> None:
    with pytest.raises(ConfigError, match="TrainRecords"):
        fit_trees(SMALL, held, held.schema.header_features, 0)


def test_a_lesson_is_the_records_with_mixtures_after_them(train: TrainRecords, held: Records) -> None:
    lesson = with_soft_labels(SMALL, train, train.schema.header_features, 0, validation=held)
    assert len(lesson.records) == len(lesson.labels) == len(train) + 300
    np.testing.assert_array_equal(lesson.records.numbers[:, : len(train)], train.numbers)
    np.testing.assert_array_equal(lesson.records.numbers[:, len(train) :], mix_records(train, 300, 0).numbers)
    assert (lesson.labels[: len(train)].argmax(1) == train.classes()).mean() > 0.95
    assert lesson.validation is not None and lesson.validation.shape == (len(held), 5)
    plain = with_hard_labels(train)
    assert plain.records is train and plain.validation is None
    np.testing.assert_array_equal(plain.labels, train.classes())


def test_a_lesson_kept_in_a_folder_is_not_taught_again(
    train: TrainRecords, held: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lesson(records: TrainRecords, seed: int) -> NDArray[np.float32]:
        columns = records.schema.header_features
        return with_soft_labels(SMALL, records, columns, seed, validation=held, folder=tmp_path).labels

    first = lesson(train, 0)
    monkeypatch.setattr("juggler.models.detector.distillation_set.fit_trees", _refuse)
    np.testing.assert_array_equal(lesson(train, 0), first)
    for other, seed in ((train, 1), (train.take(range(1400)), 0)):
        with pytest.raises(AssertionError, match="taught again"):
            lesson(other, seed)
    file = tmp_path / LABELS_FILE
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ArtefactError, match="no whole safetensors file"):
        lesson(train, 0)


def _refuse(*_: object) -> None:
    raise AssertionError("taught again")


def test_without_xgboost_it_says_what_to_install(
    train: TrainRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., object] = importlib.import_module

    def absent(name: str, package: str | None = None) -> object:
        if name == "xgboost":
            raise builtins.ImportError("No module named 'xgboost'")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(Unavailable, match=re.escape(install_command("train"))):
        fit_trees(SMALL, train, train.schema.header_features, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trees", 0),
        ("trees", 1.5),
        ("depth", 31),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("ensemble_size", True),
        ("mixtures", -1),
        ("record_share", 1.1),
        ("column_share", "half"),
    ],
)
def test_refuses_a_teacher_that_cannot_be(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        Teacher(**{field: value})
