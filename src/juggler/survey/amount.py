"""One figure of the survey: a number that says where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from juggler.errors import ConfigError
from juggler.nouns import Noun

MEASURED, COUNTED, MODELLED, ESTIMATED = "measured", "counted", "modelled", "estimated"
QUOTED, UNAVAILABLE = "quoted", "unavailable"
ORIGINS = (MEASURED, COUNTED, MODELLED, ESTIMATED, QUOTED, UNAVAILABLE)
MEANINGS = {
    MEASURED: "by a clock, a meter or pictures, on the machine that is named",
    COUNTED: "exactly, on the network's own graph",
    MODELLED: "worked out by a formula of the cost models, for hardware that is described in a file",
    ESTIMATED: "worked out from a modelled and a measured figure",
    QUOTED: "taken from a publication that is named",
    UNAVAILABLE: "neither, for the reason that is given",
}


@dataclass(frozen=True)
class Amount(Noun):
    """A number with its origin; without a number it says why there is none.

    Attributes:
        value: the number, in the unit of its quantity; None where it is unavailable.
        origin: one of `ORIGINS`.
        source: where it was measured, what it was modelled on, who published it, or why there is none.
        low: lower end of its 95 % interval, where there is one.
        high: upper end.
    """

    value: float | None
    origin: str
    source: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS:
            raise ConfigError(
                "state a figure", f"the origin {self.origin!r}", f"Choose from {', '.join(ORIGINS)}"
            )
        if (self.value is None) != (self.origin == UNAVAILABLE) or not self.source:
            raise ConfigError(
                "state a figure",
                f"the value {self.value}, {self.origin}, from {self.source!r}",
                "Give a number with its source, or none with the reason",
            )
        if self.value is not None and not math.isfinite(self.value):
            raise ConfigError("state a figure", f"the value {self.value}", "Give a finite number")

    @classmethod
    def none(cls, reason: str) -> Self:
        """Return the figure that there is not, with the reason."""
        return cls(None, UNAVAILABLE, reason)

    @property
    def known(self) -> bool:
        """Say whether there is a number."""
        return self.value is not None

    def times(self, factor: float) -> Amount:
        """Return the same in another unit."""
        if self.value is None:
            return self
        ends = (None if end is None else end * factor for end in (self.low, self.high))
        return Amount(self.value * factor, self.origin, self.source, *ends)


@dataclass(frozen=True)
class Quantity:
    """What is stated of each network: its key, its name, its unit, and whether less of it is better."""

    key: str
    title: str
    unit: str
    less_is_better: bool = True


QUANTITIES = (
    Quantity("top1", "Top-1 accuracy", "%", less_is_better=False),
    Quantity("top5", "Top-5 accuracy", "%", less_is_better=False),
    Quantity("parameters_m", "Parameters", "10⁶"),
    Quantity("gflop", "Operations", "GFLOP"),
    Quantity("latency_ms", "Time an image", "ms"),
    Quantity("power_w", "Power", "W"),
    Quantity("energy_mj", "Energy an image", "mJ"),
)
QUANTITY = {quantity.key: quantity for quantity in QUANTITIES}
"""By key. `gflop` is 2 x multiply-accumulates, as in the paper; `parameters_m` leaves statistics out."""
