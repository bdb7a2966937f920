"""What speaks against records, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from juggler.data import Encoder, Records, TrainRecords, load_record_set
from juggler.detect.plausibility import Plausibility
from small_detector import SCHEMA, records

ENCODER = Encoder.fit(TrainRecords.of(records(1500, seed=1)))


def doubts(some: Records, alarms: int = 0, bad: int = 0) -> tuple[str, ...]:
    plausibility = Plausibility(ENCODER)
    plausibility.take(some)
    return plausibility.doubts(alarms, bad, {})


def changed(some: Records, column: str, value: float) -> Records:
    numbers = some.numbers.copy()
    numbers[SCHEMA.numeric.index(column)] = value
    return replace(some, numbers=numbers)


def test_records_like_those_of_training_are_not_doubted() -> None:
    assert doubts(records(2000, seed=2), alarms=900, bad=300) == ()


@pytest.mark.parametrize(("column", "value"), [("src_bytes", 4e9), ("dst_host_count", 256), ("urgent", 1)])
def test_what_is_beyond_training_is_doubted(column: str, value: float) -> None:
    (doubt,) = doubts(changed(records(40, seed=2), column, value))
    assert doubt == "100% of the records are beyond all that training saw: in another order?"


def test_a_fraction_of_a_whole_number_is_doubted_and_that_of_a_rate_is_not() -> None:
    assert "100% of the records have fractions" in doubts(changed(records(40, seed=2), "src_bytes", 300.5))[0]
    assert doubts(changed(records(40, seed=2), "serror_rate", 0.123456)) == ()


def test_few_records_say_nothing() -> None:
    few = changed(records(9, seed=2), "src_bytes", 4e9)
    assert doubts(few, alarms=9) == ()
    assert doubts(records(99, seed=2), alarms=99) == ()
    assert doubts(records(100, seed=2), alarms=100) == ("100 of 100 records are alarms",)


def test_columns_that_are_missing_are_not_looked_at() -> None:
    assert doubts(changed(records(40, seed=2), "hot", float("nan"))) == ()


@pytest.mark.data
def test_nsl_kdd_itself_is_not_doubted() -> None:
    from juggler.runtime import Artefact  # noqa: PLC0415
    from juggler.runtime.artefact import shipped  # noqa: PLC0415

    for part in ("train", "test", "test-21"):
        plausibility = Plausibility(Artefact.load(shipped("nsl_kdd.onnx")).encoder)
        plausibility.take(load_record_set("nsl-kdd").load(part))
        assert plausibility.doubts(0, 0, {}) == ()
