"""Energy and power of networks, where this machine has a meter that can be read.

A meter is one file of `clock/meters`, found by its name; one that cannot work here is an object that says
what is missing. `best_meter` gives the first that can. Virtual machines hardly ever have one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from juggler.extras import portable
from juggler.nouns import Noun
from juggler.packages import BackendStatus
from juggler.registry import Registry

LEAST_S = 2.0  # counters of GPUs move a few times a second
CPU, GPU = "cpu", "gpu"
ORDER = ("zeus", "rapl")  # the first that works is taken


@dataclass(frozen=True)
class Reading(Noun):
    """What a meter showed of one call, repeated for some seconds; the device's idle share is in it.

    Attributes:
        energy_mj: of one call.
        power_w: over the whole window.
        seconds: length of the window.
        calls: in it.
    """

    energy_mj: float
    power_w: float
    seconds: float
    calls: int


class Meter(Protocol):
    """What reads energy; each file of `juggler.clock.meters` offers one as `METER`.

    Attributes:
        name: as the file is called.
        what: which devices' energy it reads, in words.
    """

    name: str
    what: str

    def status(self, device: str = CPU) -> BackendStatus:
        """Say whether it can read that device here, `cpu` or `gpu`; never raises, imports nothing heavy."""
        ...

    def read(self, call: Callable[[], object], device: str = CPU, *, least_s: float = LEAST_S) -> Reading:
        """Repeat a call for so many seconds and return what it took.

        Raises:
            Unavailable: there is no such meter here, or its counter did not move.
        """
        ...


METERS: Registry[Meter] = Registry("meter", "juggler.clock.meters", alias="juggler.meters")


def best_meter(device: str = CPU) -> Meter | None:
    """Return the first meter that can read the device, None where there is none."""
    return next((meter for meter in _meters() if meter.status(device).available), None)


def why_none(device: str = CPU) -> str:
    """Say of each meter what is missing and what mends it; empty where one works."""
    states = [(meter, meter.status(device)) for meter in _meters()]
    if any(status.available for _, status in states):
        return ""
    missing = (f"{meter.name}: {status.missing} ({status.remedy})" for meter, status in states)
    return portable("; ".join(missing))  # it is kept with the figures


def _meters() -> list[Meter]:
    known = METERS.names()
    ordered = [*(name for name in ORDER if name in known), *(name for name in known if name not in ORDER)]
    return [METERS.get(name) for name in ordered]
