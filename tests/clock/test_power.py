"""Meters that say truthfully whether they can work, and what they read where they can."""

from types import SimpleNamespace

import pytest

from juggler.clock.meters.rapl import Rapl
from juggler.clock.meters.zeus import Zeus
from juggler.clock.power import CPU, GPU, METERS, best_meter, why_none
from juggler.errors import Unavailable
from juggler.packages import BackendStatus


@pytest.mark.parametrize("name", METERS.names())
@pytest.mark.parametrize("device", [CPU, GPU])
def test_a_meter_says_what_is_missing(name, device):
    meter = METERS.get(name)
    assert meter.name == name
    status = meter.status(device)
    assert status.available == (status.missing is None) == (status.remedy is None)
    if not status.available:
        with pytest.raises(Unavailable, match=name):
            meter.read(lambda: None, device)


def test_the_best_meter_is_one_that_works_or_none_with_reasons():
    found = best_meter()
    if found is None:
        assert all(f"{name}: " in why_none() for name in METERS.names())
    else:
        assert found.status().available
        assert why_none() == ""


def counter(tmp_path):
    folder = tmp_path / "intel-rapl:0"
    folder.mkdir()
    (folder / "max_energy_range_uj").write_text("1000000000", encoding="ascii")
    state = folder / "energy_uj"
    state.write_text("0", encoding="ascii")
    return state


def test_rapl_reads_energy_and_power_of_a_call(tmp_path):
    state, time_ns = counter(tmp_path), [0]

    def call():
        time_ns[0] += 500_000_000
        state.write_text(str(int(state.read_text(encoding="ascii")) + 3_000_000), encoding="ascii")

    found = Rapl(tmp_path, lambda: time_ns[0]).read(call, least_s=2.0)
    assert (found.calls, found.seconds) == (4, 2.0)
    assert found.energy_mj == pytest.approx(3000.0)
    assert found.power_w == pytest.approx(6.0)


def test_a_counter_that_stands_still_is_told(tmp_path):
    counter(tmp_path)
    with pytest.raises(Unavailable, match="did not move"):
        Rapl(tmp_path).read(lambda: None, least_s=0.0)


class Monitor:
    """What `ZeusMonitor` does, by the same names; there is no counter here to read in earnest."""

    def __init__(self, cpu_j, gpu_j):
        self.cpu_j, self.gpu_j, self.windows = cpu_j, gpu_j, []

    def begin_window(self, key, sync_execution):
        self.windows.append((key, sync_execution))

    def end_window(self, key, sync_execution):
        assert self.windows == [(key, sync_execution)]
        return SimpleNamespace(
            time=2.0,
            cpu_energy=self.cpu_j,
            dram_energy={0: 1.0} if self.cpu_j else None,
            gpu_energy=self.gpu_j,
        )


def works(device):
    return BackendStatus(True, "0.16.0")


def test_zeus_adds_processor_and_memory():
    found = Zeus(lambda: Monitor({0: 7.0}, {}), works).read(lambda: None, least_s=0.0)
    assert (found.energy_mj, found.power_w, found.calls) == (8000.0, 4.0, 1)


def test_zeus_reads_gpus_where_these_are_asked_for():
    found = Zeus(lambda: Monitor({0: 7.0}, {0: 2.0, 1: 4.0}), works).read(lambda: None, GPU, least_s=0.0)
    assert (found.energy_mj, found.power_w) == (6000.0, 3.0)


def test_what_zeus_raises_is_told_as_a_state_of_the_machine():
    def make():
        raise RuntimeError("no permission to read RAPL")

    with pytest.raises(Unavailable, match="no permission"):
        Zeus(make, works).read(lambda: None)
    with pytest.raises(Unavailable, match="no counter moved"):
        Zeus(lambda: Monitor(None, {}), works).read(lambda: None, least_s=0.0)
