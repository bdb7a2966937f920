"""Networks are timed one by one and kept; a run goes on where the last one stopped."""

from __future__ import annotations

import json

import pytest

from benchmarks.predict import network_times as times
from juggler.errors import ConfigError, DataError


def run(path, minutes=1.0):
    plan = times.Plan(batches=(1, 2), rounds=1)
    return times.measure_all(("lenet",), plan, path, minutes=minutes, progress=lambda done, total: None)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    path = tmp_path_factory.mktemp("times") / "runs" / "networks.json"
    return path, run(path)


def test_a_row_is_kept_for_each_batch(kept):
    path, found = kept
    assert times.read(path) == found
    rows = found["networks"]["lenet"]["rows"]
    assert [row["batch"] for row in rows] == [1, 2]
    assert all(row["measured_ms"] > 0.0 and row["rounds"] == 1 for row in rows)
    assert found["networks"]["lenet"]["left_out"] == []


def test_what_is_kept_is_not_measured_again(kept, monkeypatch):
    path, found = kept
    monkeypatch.setattr(times, "measured", lambda *_: pytest.fail("it was measured again"))
    assert run(path) == found


def test_no_network_is_begun_when_the_minutes_are_over(tmp_path):
    assert run(tmp_path / "none.json", minutes=0.0)["networks"] == {}
    with pytest.raises(DataError, match="--measure"):
        times.read(tmp_path / "none.json")


def test_times_of_another_machine_are_not_added_to(kept, tmp_path):
    _, found = kept
    other = tmp_path / "other.json"
    other.write_text(json.dumps(found | {"threads": 7}))
    with pytest.raises(ConfigError, match="another threads"):
        run(other)
    other.write_text("{}")
    with pytest.raises(DataError, match="something else"):
        run(other)


def test_batches_that_would_take_too_long_are_listed_and_not_run():
    found = times.measured("lenet", times.Plan(batches=(1, 2, 1 << 30), rounds=1, longest_ms=1000.0))
    assert [row["batch"] for row in found["rows"]] == [1, 2]
    (left_out,) = found["left_out"]
    assert left_out["batch"] == 1 << 30 and left_out["at_least_ms"] > 1000.0
