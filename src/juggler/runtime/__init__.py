"""From a network to a session: export, import, artefacts, backends, measurement.

The names are looked up when they are first used, so that the base install, which has neither torch nor
onnx, can open artefacts and run them. A function called like a file is not offered here, for a file that is
imported takes its name in this package: `from juggler.runtime.export import export`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.packages import BackendStatus
    from juggler.runtime.artefact import Artefact, Fields
    from juggler.runtime.int8.certified import Budget, Quantized, quantize_certified
    from juggler.runtime.measure.contenders import Contenders, Entry, open_contenders
    from juggler.runtime.measure.peak import Peak
    from juggler.runtime.measure.speed import Measured, Speedup
    from juggler.runtime.open import open_session
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
    "Contenders",
    "Deviation",
    "Entry",
    "Fields",
    "Measured",
    "Peak",
    "Quantized",
    "Session",
    "Speedup",
    "deviation",
    "open_contenders",
    "open_session",
    "quantize_certified",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.packages": ["BackendStatus"],
        "juggler.runtime.artefact": ["Artefact", "Fields"],
        "juggler.runtime.measure.contenders": ["Contenders", "Entry", "open_contenders"],
        "juggler.runtime.int8.certified": ["Budget", "Quantized", "quantize_certified"],
        "juggler.runtime.measure.speed": ["Measured", "Speedup"],
        "juggler.runtime.open": ["open_session"],
        "juggler.runtime.measure.peak": ["Peak"],
        "juggler.runtime.precision": ["PRECISIONS", "Deviation", "deviation"],
        "juggler.runtime.session": ["BACKENDS", "IMPORTERS", "Backend", "Session"],
    },
    former={
        "Contest": "juggler.runtime.measure.contenders:Contenders",
        "contend": "juggler.runtime.measure.contenders:open_contenders",
    },
)
