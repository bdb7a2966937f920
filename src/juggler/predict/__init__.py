"""What it will take: campaigns of micro-benchmarks, learners, and whole networks composed of kernels.

Names are looked up when they are first used, so that a command line which only lists its verbs imports
neither torch nor onnx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.predict.kernel import FAMILIES, KernelSpec
    from juggler.predict.sample import Sample
    from juggler.predict.store import Store
    from juggler.predict.table import KernelTable

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
        "juggler.predict.kernel": ["FAMILIES", "KernelSpec"],
        "juggler.predict.sample": ["Sample"],
        "juggler.predict.store": ["Store"],
        "juggler.predict.table": ["KernelTable"],
    },
)
