"""What every data set plug-in must keep to; each function takes the data set and asserts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from juggler.data import DataSet, Encoder, Records, TrainRecords
from juggler.errors import ConfigError
from juggler.registry import normalise


def has_valid_names(data_set: DataSet) -> None:
    assert isinstance(data_set, DataSet)
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
