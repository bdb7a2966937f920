"""What every data set plug-in must keep to; each function takes the data set and asserts.

`CHECKS` are for sets of records, `PICTURE_CHECKS` for sets of pictures, which must be on this machine.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from juggler.data import (
    DataSet,
    Encoder,
    Pictures,
    PictureSet,
    Records,
    Standard,
    TrainPictures,
    TrainRecords,
    is_pictures,
)
from juggler.data.pictures import pictures_sha256
from juggler.errors import ConfigError
from juggler.registry import normalise


def has_valid_names(data_set: DataSet) -> None:
    assert isinstance(data_set, DataSet)
    assert not is_pictures(data_set)  # type: ignore[unreachable]
    assert data_set.name == normalise(data_set.name) == data_set.provenance.name
    assert data_set.parts[0] == "train" and len({*data_set.parts}) == len(data_set.parts) > 1
    assert data_set.provenance.synthetic is data_set.synthetic
    assert data_set.provenance.citation and data_set.provenance.licence
    if not data_set.synthetic:
        assert {*data_set.provenance.sha256} == {*data_set.parts}
        assert all(len(digest) == 64 for digest in data_set.provenance.sha256.values())
    with pytest.raises(ConfigError, match="train"):
        data_set.load("no such part")
    with pytest.raises(ConfigError, match="fold"):
        data_set.fold(data_set.folds(), seed=0)


def loads_the_same_twice(data_set: DataSet) -> None:
    first, second = data_set.load("train"), data_set.load("train")
    np.testing.assert_array_equal(first.numbers, second.numbers)
    np.testing.assert_array_equal(first.codes, second.codes)
    assert first.labels().tolist() == second.labels().tolist()
    assert first.sha256 == second.sha256 != ""
    splits = [data_set.fold(0, seed=3), data_set.fold(0, seed=3), data_set.fold(0, seed=4)]
    lines = [split.validation.lines.tolist() for split in splits]
    assert lines[0] == lines[1] != lines[2]


def holds_whole_types_out(data_set: DataSet) -> None:
    everything = Counter(data_set.training().labels().tolist())
    held = []
    for i in range(data_set.folds()):
        split = data_set.fold(i, seed=1)
        train, validation = split.train.labels(), split.validation.labels()
        types = {*validation} - {*train}
        assert types and "normal" not in types
        assert {"normal"} < {*train} & {*validation}
        assert Counter(train.tolist()) + Counter(validation.tolist()) == everything
        assert not {*split.train.lines.tolist()} & {*split.validation.lines.tolist()}
        held.append(types)
    assert sum(map(len, held)) == len(set().union(*held)), "a type is held out twice"


def keeps_unseen_types_out_of_training(data_set: DataSet) -> None:
    training = data_set.training()
    assert isinstance(training, TrainRecords)
    assert not training.unseen().any()
    test = data_set.load(data_set.parts[1])
    assert not isinstance(test, TrainRecords)
    assert test.unseen().any()
    assert {*range(len(data_set.schema.classes))} == {*training.classes().tolist()}


def feeds_encoders_by_type(data_set: DataSet) -> None:
    split = data_set.fold(0, seed=1)
    assert isinstance(split.train, TrainRecords) and not isinstance(split.validation, TrainRecords)
    for other in (split.validation, data_set.load(data_set.parts[1])):
        assert isinstance(other, Records)
        with pytest.raises(ConfigError, match="TrainRecords"):
            Encoder.fit(other)  # type: ignore[arg-type]
    encoder = Encoder.fit(split.train)
    images = encoder.encode(split.validation.take(range(100)))
    assert images.shape == (100, *encoder.shape) and np.isfinite(images).all()


CHECKS = (
    has_valid_names,
    loads_the_same_twice,
    holds_whole_types_out,
    keeps_unseen_types_out_of_training,
    feeds_encoders_by_type,
)


def has_valid_picture_names(picture_set: PictureSet) -> None:
    assert is_pictures(picture_set) and isinstance(picture_set, PictureSet)
    assert picture_set.name == normalise(picture_set.name) == picture_set.provenance.name
    assert picture_set.parts[0] == "train" and "test" in picture_set.parts
    assert len({*picture_set.parts}) == len(picture_set.parts)
    assert picture_set.provenance.synthetic is picture_set.synthetic
    assert picture_set.provenance.citation and picture_set.provenance.licence
    assert all(len(digest) == 64 for digest in picture_set.provenance.sha256.values())
    with pytest.raises(ConfigError, match="train"):
        picture_set.load("no such part")


def loads_the_same_pictures_twice(picture_set: PictureSet) -> None:
    first, second = picture_set.load("train"), picture_set.load("train")
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.sha256 == second.sha256 == pictures_sha256(first.images, first.labels)
    assert (first.classes, first.notes) == (second.classes, second.notes)
    assert first.source and all(first.notes)


def holds_every_class_in_both_parts(picture_set: PictureSet) -> None:
    train, test = picture_set.training(), picture_set.load("test")
    assert train.classes == test.classes and len({*train.classes}) == len(train.classes) > 1
    assert train.shape == test.shape
    assert train.counts().min() > 0 and test.counts().sum() == len(test) > 0
    assert train.sha256 == picture_set.load("train").sha256 != test.sha256


def fits_standards_by_type(picture_set: PictureSet) -> None:
    train = picture_set.training()
    assert isinstance(train, TrainPictures)
    rest, held_out = train.split(len(train.classes), seed=0)
    assert isinstance(rest, TrainPictures) and not isinstance(held_out, TrainPictures)
    for other in (picture_set.load("train"), picture_set.load("test"), held_out):
        assert isinstance(other, Pictures) and not isinstance(other, TrainPictures)
        with pytest.raises(ConfigError, match="TrainPictures"):
            Standard.fit(other)  # type: ignore[arg-type]
    found = Standard.fit(rest).apply(np.asarray(rest.images))
    assert found.shape == rest.images.shape and np.isfinite(found).all() and abs(found.mean()) < 1e-4


PICTURE_CHECKS = (
    has_valid_picture_names,
    loads_the_same_pictures_twice,
    holds_every_class_in_both_parts,
    fits_standards_by_type,
)
