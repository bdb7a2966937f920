"""Energy, where the machine has a meter: Intel's and AMD's running counters, read through Linux's powercap.

A virtual machine hardly ever has one. A meter that is absent is an object that says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from juggler.errors import Unavailable

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Meter:
    """The energy counters of all processor packages.

    Attributes:
        counters: folders of the packages' counters, each with `energy_uj` and `max_energy_range_uj`.
        missing: why there is no meter, where there is none.
        remedy: what would give one.
    """

    counters: tuple[Path, ...]
    missing: str | None = None
    remedy: str | None = None

    @property
    def available(self) -> bool:
        """Say whether energy can be measured."""
        return bool(self.counters)

    def read_uj(self) -> tuple[int, ...]:
        """Return each counter's state, in microjoules.

        Raises:
            Unavailable: there is no meter.
        """
        if not self.counters:
            raise Unavailable("measure energy", f"{self.missing}", f"{self.remedy}")
        return tuple(_number(folder / "energy_uj") for folder in self.counters)

    def since_mj(self, before_uj: tuple[int, ...]) -> float:
        """Return the energy since `before_uj` was read, in millijoules; a counter may wrap round once."""
        spent = 0
        for folder, old, new in zip(self.counters, before_uj, self.read_uj(), strict=True):
            spent += new - old if new >= old else new - old + _number(folder / "max_energy_range_uj")
        return spent / 1e3


def find_meter(powercap: Path = POWERCAP) -> Meter:
    """Return the machine's meter; one that is absent says what is missing."""
    # Packages are intel-rapl:0, :1, ...; intel-rapl:0:1 is a part of one and would be counted twice.
    folders = sorted(f for f in powercap.glob("intel-rapl:*") if f.name.count(":") == 1)
    if not folders:
        return Meter(
            (), "this machine shows no energy counter", "Run on a real machine with Intel or AMD's RAPL"
        )
    try:
        for folder in folders:
            _number(folder / "energy_uj")
            _number(folder / "max_energy_range_uj")
    except (OSError, ValueError) as error:
        return Meter((), f"its energy counter cannot be read ({error})", "Run as root, or allow reading it")
    return Meter(tuple(folders))


def energy_mj(
    call: Callable[[], object],
    meter: Meter,
    *,
    least_s: float = 1.0,
    now_ns: Callable[[], int] = time.perf_counter_ns,
) -> float:
    """Return the energy of one call, in millijoules: the whole processor's, idle share included.

    The counters move about once a millisecond, so the call is repeated for `least_s` seconds.

    Raises:
        Unavailable: there is no meter.
    """
    before_uj, calls = meter.read_uj(), 0
    end_ns = now_ns() + int(least_s * 1e9)
    while calls == 0 or now_ns() < end_ns:
        call()
        calls += 1
    return meter.since_mj(before_uj) / calls


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))
