"""The running counters of Intel's and AMD's processors, read through Linux; needs no package."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from juggler.clock.energy import POWERCAP, find_meter
from juggler.clock.power import CPU, LEAST_S, Reading
from juggler.errors import Unavailable
from juggler.packages import BackendStatus

ASKED = "measure energy with rapl"


class Rapl:
    """Read all processor packages; memory is in it where the package counts it.

    Args:
        powercap: where Linux shows the counters.
        now_ns: the time source, in nanoseconds.
    """

    name = "rapl"
    what = "processor packages, by RAPL"

    def __init__(self, powercap: Path = POWERCAP, now_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._powercap, self._now_ns = powercap, now_ns

    def status(self, device: str = CPU) -> BackendStatus:
        """Say whether the counters are there and may be read."""
        if device != CPU:
            return BackendStatus(False, None, f"it reads processors, no {device}", "Use zeus")
        meter = find_meter(self._powercap)
        return BackendStatus(meter.available, None, meter.missing, meter.remedy)

    def read(self, call: Callable[[], object], device: str = CPU, *, least_s: float = LEAST_S) -> Reading:
        """Repeat a call and return what it took.

        Raises:
            Unavailable: there is no counter that can be read, or it did not move.
        """
        status = self.status(device)
        if not status.available:
            raise Unavailable(ASKED, f"{status.missing}", f"{status.remedy}")
        meter = find_meter(self._powercap)
        before_uj, start_ns, calls = meter.read_uj(), self._now_ns(), 0
        while calls == 0 or self._now_ns() - start_ns < least_s * 1e9:
            call()
            calls += 1
        spent_mj, seconds = meter.since_mj(before_uj), (self._now_ns() - start_ns) / 1e9
        if spent_mj <= 0:
            raise Unavailable(ASKED, f"the counter did not move in {seconds:.1f} s", "Measure for longer")
        return Reading(spent_mj / calls, spent_mj / 1e3 / seconds, seconds, calls)


METER = Rapl()
