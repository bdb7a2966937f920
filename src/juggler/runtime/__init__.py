"""From a network to a session: export, import, artefacts, backends, measurement.

The names are looked up when they are first used, so that the base install, which has neither torch nor
onnx, can open artefacts and run them. Functions called like their files are not offered here, for a file
that is imported takes its name in this package: `from juggler.runtime.export import export`, and the same
for `measure`, `machine` and `quantize`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.packages import BackendStatus
    from juggler.runtime.artefact import Artefact
    from juggler.runtime.contest import Contest, Entry, contend
    from juggler.runtime.fields import Fields
    from juggler.runtime.int8 import Budget, Quantized, quantize_certified
    from juggler.runtime.measure import Measured, Speedup
    from juggler.runtime.open import open_session
    from juggler.runtime.peak import Peak
    from juggler.runtime.precision import PRECISIONS, Deviation, deviation
    from juggler.runtime.session import BACKENDS, IMPORTERS, Backend, Session

__all__ = [
    "BACKENDS",
    "IMPORTERS",
    "PRECISIONS",
    "Artefact",
    "Backend",
    "BackendStatus",
    "Budget",
    "Contest",
    "Deviation",
    "Entry",
    "Fields",
    "Measured",
    "Peak",
    "Quantized",
    "Session",
    "Speedup",
    "contend",
    "deviation",
    "open_session",
    "quantize_certified",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.packages": ["BackendStatus"],
        "juggler.runtime.artefact": ["Artefact"],
        "juggler.runtime.contest": ["Contest", "Entry", "contend"],
        "juggler.runtime.fields": ["Fields"],
        "juggler.runtime.int8": ["Budget", "Quantized", "quantize_certified"],
        "juggler.runtime.measure": ["Measured", "Speedup"],
        "juggler.runtime.open": ["open_session"],
        "juggler.runtime.peak": ["Peak"],
        "juggler.runtime.precision": ["PRECISIONS", "Deviation", "deviation"],
        "juggler.runtime.session": ["BACKENDS", "IMPORTERS", "Backend", "Session"],
    },
)
