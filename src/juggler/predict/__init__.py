"""What it will take: campaigns of micro-benchmarks, learners, and whole networks composed of kernels.

Names are looked up when they are first used, so that a command line which only lists its verbs imports
neither torch nor onnx.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from juggler.predict.kernel import FAMILIES, KernelSpec
    from juggler.predict.sample import Sample
    from juggler.predict.store import Store
    from juggler.predict.table import KernelTable

_HOMES = {
    "FAMILIES": "kernel",
    "KernelSpec": "kernel",
    "KernelTable": "table",
    "Sample": "sample",
    "Store": "store",
}

__all__ = ["FAMILIES", "KernelSpec", "KernelTable", "Sample", "Store"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
