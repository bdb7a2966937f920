"""The package `zeus`: NVML of NVIDIA's GPUs and RAPL of processors, read by one monitor."""

from __future__ import annotations

import ctypes.util
import time
from collections.abc import Callable
from typing import Any

from juggler.clock.energy import find_meter
from juggler.clock.power import CPU, GPU, LEAST_S, Reading
from juggler.errors import Unavailable
from juggler.extras import install_command
from juggler.packages import BackendStatus, is_installed, release_of

ASKED = "measure energy with zeus"


class Zeus:
    """Read what `zeus.monitor.ZeusMonitor` reads; of a processor its memory too, where RAPL counts it.

    Args:
        make: returns a monitor; the package's own by default.
        status: says whether it can work; looks at this machine by default.
    """

    name = "zeus"
    what = "processors by RAPL, GPUs by NVML, through zeus"

    def __init__(
        self,
        make: Callable[[], Any] | None = None,
        status: Callable[[str], BackendStatus] | None = None,
    ) -> None:
        self._make, self._status = make or _monitor, status or _status

    def status(self, device: str = CPU) -> BackendStatus:
        """Say whether the package is installed and there is something for it to read."""
        return self._status(device)

    def read(self, call: Callable[[], object], device: str = CPU, *, least_s: float = LEAST_S) -> Reading:
        """Repeat a call, which must wait for its own end, and return what it took.

        Raises:
            Unavailable: it cannot work here, or its counters did not move.
        """
        status = self.status(device)
        if not status.available:
            raise Unavailable(ASKED, f"{status.missing}", f"{status.remedy}")
        try:
            monitor = self._make()
            window, calls = self._window(monitor, call, least_s)
        except Exception as error:  # drivers and permissions raise what they like
            raise Unavailable(
                ASKED, str(error) or type(error).__name__, "See the page of zeus on system privileges"
            ) from error
        spent_j = _joules(window, device)
        if spent_j <= 0:
            raise Unavailable(ASKED, f"no counter moved in {window.time:.1f} s", "Measure for longer")
        return Reading(spent_j * 1e3 / calls, spent_j / window.time, float(window.time), calls)

    @staticmethod
    def _window(monitor: Any, call: Callable[[], object], least_s: float) -> tuple[Any, int]:
        """Return the measurement of a window of at least so many seconds, and the calls in it."""
        calls, start_s = 0, time.perf_counter()
        monitor.begin_window("juggler", sync_execution=False)
        while calls == 0 or time.perf_counter() - start_s < least_s:
            call()
            calls += 1
        return monitor.end_window("juggler", sync_execution=False), calls


def _joules(window: Any, device: str) -> float:
    if device == GPU:
        return float(sum(window.gpu_energy.values()))
    parts = (window.cpu_energy or {}, window.dram_energy or {})
    return float(sum(sum(part.values()) for part in parts))


def _monitor() -> Any:
    from zeus.monitor import ZeusMonitor  # noqa: PLC0415  # heavy, and an extra

    return ZeusMonitor()


def _status(device: str) -> BackendStatus:
    if not is_installed("zeus"):
        return BackendStatus(False, None, "not installed: zeus", install_command("power"))
    release = release_of("zeus") or release_of("zeus-ml")
    if device == GPU:
        if ctypes.util.find_library("nvidia-ml") is None:
            return BackendStatus(False, release, "no NVIDIA driver (NVML)", "Run on a machine with one")
        return BackendStatus(True, release)
    rapl = find_meter()
    return BackendStatus(rapl.available, release, rapl.missing, rapl.remedy)


METER = Zeus()
