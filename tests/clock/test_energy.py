"""Energy counters, on folders that look like Linux's powercap."""

from __future__ import annotations

import pytest

from juggler.clock.energy import energy_mj, find_meter
from juggler.errors import Unavailable


def counter(root, name, state_uj, largest_uj=1_000_000):
    folder = root / name
    folder.mkdir()
    (folder / "energy_uj").write_text(f"{state_uj}\n", encoding="ascii")
    (folder / "max_energy_range_uj").write_text(f"{largest_uj}\n", encoding="ascii")
    return folder / "energy_uj"


def test_packages_are_summed_and_their_parts_are_not(tmp_path):
    one = counter(tmp_path, "intel-rapl:0", 100)
    other = counter(tmp_path, "intel-rapl:1", 500)
    counter(tmp_path, "intel-rapl:0:0", 90)
    meter = find_meter(tmp_path)
    assert meter.available
    before = meter.read_uj()
    assert before == (100, 500)
    one.write_text("3100\n", encoding="ascii")
    other.write_text("1500\n", encoding="ascii")
    assert meter.since_mj(before) == pytest.approx(4.0)


def test_a_counter_that_wrapped_round_is_carried_on(tmp_path):
    state = counter(tmp_path, "intel-rapl:0", 999_000)
    meter = find_meter(tmp_path)
    before = meter.read_uj()
    state.write_text("2000\n", encoding="ascii")
    assert meter.since_mj(before) == pytest.approx(3.0)


def test_energy_is_that_of_one_call(tmp_path):
    state = counter(tmp_path, "intel-rapl:0", 0)
    time_ns = [0]

    def call():
        time_ns[0] += 300_000_000
        state.write_text(str(int(state.read_text(encoding="ascii")) + 6000), encoding="ascii")

    found = energy_mj(call, find_meter(tmp_path), least_s=1.0, now_ns=lambda: time_ns[0])
    assert time_ns[0] == 1_200_000_000
    assert found == pytest.approx(6.0)


def test_no_meter_is_an_object_that_says_so(tmp_path):
    meter = find_meter(tmp_path)
    assert not meter.available
    assert meter.missing
    with pytest.raises(Unavailable, match="no energy counter"):
        energy_mj(lambda: None, meter)


def test_a_counter_that_cannot_be_read_is_no_meter(tmp_path):
    counter(tmp_path, "intel-rapl:0", 0).write_text("not a number", encoding="ascii")
    meter = find_meter(tmp_path)
    assert not meter.available
    assert "cannot be read" in (meter.missing or "")
