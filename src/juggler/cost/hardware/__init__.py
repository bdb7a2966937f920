"""What other hardware would take: matrix products, systolic arrays, memory hierarchies, dataflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.cost.hardware.gemm import Gemm, Gemms, gemm_of, network_gemms
    from juggler.cost.hardware.hierarchy import Hierarchy, device, devices, parse_hierarchy, read_hierarchy
    from juggler.cost.hardware.reuse import REUSES, access_energy, accesses
    from juggler.cost.hardware.sweep import best_array, widest_within
    from juggler.cost.hardware.systolic import cycles, estimate

__all__ = [
    "REUSES",
    "Gemm",
    "Gemms",
    "Hierarchy",
    "access_energy",
    "accesses",
    "best_array",
    "cycles",
    "device",
    "devices",
    "estimate",
    "gemm_of",
    "network_gemms",
    "parse_hierarchy",
    "read_hierarchy",
    "widest_within",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.cost.hardware.gemm": ["Gemm", "Gemms", "gemm_of", "network_gemms"],
        "juggler.cost.hardware.hierarchy": [
            "Hierarchy",
            "device",
            "devices",
            "parse_hierarchy",
            "read_hierarchy",
        ],
        "juggler.cost.hardware.reuse": ["REUSES", "access_energy", "accesses"],
        "juggler.cost.hardware.sweep": ["best_array", "widest_within"],
        "juggler.cost.hardware.systolic": ["cycles", "estimate"],
    },
)
