"""From a network to a session: export, import, artefacts, backends, measurement.

The names are looked up when they are first used, so that the base install, which has neither torch nor
onnx, can open artefacts and run them. Functions called like their files are not offered here, for a file
that is imported takes its name in this package: `from juggler.runtime.export import export`, and the same
for `measure`, `machine` and `quantize`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from juggler.runtime.artefact import Artefact
    from juggler.runtime.contest import Contest, Entry, contend
    from juggler.runtime.fields import Fields
    from juggler.runtime.int8 import Budget, Quantized, quantize_certified
    from juggler.runtime.measure import Measured, Speedup
    from juggler.runtime.open import open_session
    from juggler.runtime.peak import Peak
    from juggler.runtime.precision import PRECISIONS, Deviation, deviation
    from juggler.runtime.session import BACKENDS, IMPORTERS, Backend, BackendStatus, Session

_HOMES = {
    "Artefact": "artefact",
    "Fields": "fields",
    "Budget": "int8",
    "Quantized": "int8",
    "quantize_certified": "int8",
    "Measured": "measure",
    "Speedup": "measure",
    "Contest": "contest",
    "Entry": "contest",
    "contend": "contest",
    "BACKENDS": "session",
    "IMPORTERS": "session",
    "Backend": "session",
    "BackendStatus": "session",
    "Session": "session",
    "open_session": "open",
    "Peak": "peak",
    "PRECISIONS": "precision",
    "Deviation": "precision",
    "deviation": "precision",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
