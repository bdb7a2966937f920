"""What it will take: campaigns of micro-benchmarks, learners, and whole networks composed of kernels.

Names are looked up when they are first used, so that a command line which only lists its verbs imports
neither torch nor onnx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.predict.campaign.store.samples import Store
    from juggler.predict.kernels.sample import Sample
    from juggler.predict.kernels.spec import FAMILIES, KernelSpec
    from juggler.predict.kernels.table import KernelTable

__all__ = [
    "FAMILIES",
    "KernelSpec",
    "KernelTable",
    "Sample",
    "Store",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.predict.kernels.spec": ["FAMILIES", "KernelSpec"],
        "juggler.predict.kernels.sample": ["Sample"],
        "juggler.predict.campaign.store.samples": ["Store"],
        "juggler.predict.kernels.table": ["KernelTable"],
    },
)
