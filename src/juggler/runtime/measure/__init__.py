"""What networks take on backends, measured: time, peak memory, and where the speed comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.runtime.measure.attribution import Attribution, attribute
    from juggler.runtime.measure.contenders import Contenders, Entry, open_contenders
    from juggler.runtime.measure.peak import Peak, measure_peak
    from juggler.runtime.measure.speed import Measured, Speedup, measure

__all__ = [
    "Attribution",
    "Contenders",
    "Entry",
    "Measured",
    "Peak",
    "Speedup",
    "attribute",
    "measure",
    "measure_peak",
    "open_contenders",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.runtime.measure.attribution": ["Attribution", "attribute"],
        "juggler.runtime.measure.contenders": ["Contenders", "Entry", "open_contenders"],
        "juggler.runtime.measure.peak": ["Peak", "measure_peak"],
        "juggler.runtime.measure.speed": ["Measured", "Speedup", "measure"],
    },
)
