"""The GPU's own meter of energy, and what NVML and the kernel tell of the machine.

Nothing here needs more than the standard library; what is not to be had is a reason in the place of a number.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


class Meter:
    """The GPU's own meter of energy, through NVML; without it every figure is None, and `why_not` says why.

    Args:
        uuid: of torch's first GPU, as torch writes it; None where there is none.

    The counter is of the whole board, idle power included, and moves a few times a second at least, so a
    reading starts and ends where it moves.
    """

    def __init__(self, uuid: str | None) -> None:
        self.why_not = ""
        self._nvml: Any = None
        self._handle: Any = None
        try:
            if uuid is None:
                self.why_not = "no NVIDIA GPU"
                return
            nvml: Any = import_module("pynvml")
            nvml.nvmlInit()
            self._nvml, self._handle = nvml, handle_of(nvml, uuid)
            nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        except ImportError:
            self.why_not = "nvidia-ml-py is not installed"
        except Exception as error:  # noqa: BLE001  # NVML's errors have no base that can be named without it
            self.why_not = str(error) or type(error).__name__

    def energy_mj(self, call: Callable[[], object], least_s: float = 1.0) -> float | None:
        """Return the energy of a call that waits for its end, over at least a second, in millijoules."""
        if self.why_not or self._nvml is None:
            return None
        start_mj, _ = self._until_it_moves(call, self._read())
        start_s, calls = time.perf_counter(), 0
        while time.perf_counter() - start_s < least_s:
            call()
            calls += 1
        end_mj, more = self._until_it_moves(call, self._read())
        return (end_mj - start_mj) / (calls + more) if end_mj > start_mj else None

    def _until_it_moves(self, call: Callable[[], object], last_mj: int) -> tuple[int, int]:
        """Call until the counter moves, for a second at most; return its value and the calls."""
        end_s, calls, now_mj = time.perf_counter() + 1.0, 0, last_mj
        while now_mj == last_mj and time.perf_counter() < end_s:
            call()
            calls += 1
            now_mj = self._read()
        return now_mj, calls

    def _read(self) -> int:
        return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def record(self) -> dict[str, Any]:
        """Return the driver, the clocks in MHz and the power limit in W, as far as NVML tells."""
        nvml, handle, found = self._nvml, self._handle, dict[str, Any]()
        if nvml is None or handle is None:
            return {"nvml": self.why_not}
        questions: dict[str, Callable[[], Any]] = {
            "driver": nvml.nvmlSystemGetDriverVersion,
            "sm_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "sm_max_mhz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "power_limit_w": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        }
        for name, ask in questions.items():
            try:
                answer = ask()
            except nvml.NVMLError as error:
                answer = f"not told: {error}"
            found[name] = answer.decode() if isinstance(answer, bytes) else answer
        return found


def handle_of(nvml: Any, uuid: str) -> Any:
    """Return NVML's handle of a GPU: NVML counts by bus, torch counts what it may see."""
    try:
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except nvml.NVMLError:
        return nvml.nvmlDeviceGetHandleByIndex(0)


def release(package: str) -> str:
    """Return the installed release of a package, or an empty text."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def processor() -> str:
    """Return the processor's model as the kernel names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
