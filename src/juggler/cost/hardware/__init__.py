"""What other hardware would take: matrix products, systolic arrays, memory hierarchies, dataflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.cost.hardware.gemm import Gemm, Gemms, network_gemms
    from juggler.cost.hardware.hierarchy import device, devices, parse_hierarchy
    from juggler.cost.hardware.reuse import REUSES, accesses
    from juggler.cost.hardware.sweep import best_array
    from juggler.cost.hardware.systolic import cycles, estimate

__all__ = [
    "REUSES",
    "Gemm",
    "Gemms",
    "accesses",
    "best_array",
    "cycles",
    "device",
    "devices",
    "estimate",
    "network_gemms",
    "parse_hierarchy",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.cost.hardware.gemm": ["Gemm", "Gemms", "network_gemms"],
        "juggler.cost.hardware.hierarchy": ["device", "devices", "parse_hierarchy"],
        "juggler.cost.hardware.reuse": ["REUSES", "accesses"],
        "juggler.cost.hardware.sweep": ["best_array"],
        "juggler.cost.hardware.systolic": ["cycles", "estimate"],
    },
)
