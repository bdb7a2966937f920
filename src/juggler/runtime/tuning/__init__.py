"""The exact rewriting with a clock in its hand, and latencies kept between runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.runtime.tuning.flattening import flatten
    from juggler.runtime.tuning.timer import Timer

__all__ = [
    "Timer",
    "flatten",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.runtime.tuning.flattening": ["flatten"],
        "juggler.runtime.tuning.timer": ["Timer"],
    },
)
