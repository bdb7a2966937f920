"""What a network does, counted operator by operator: work, weights, traffic, buffers.

One count serves whoever asks: `transform` for what a rewrite saves, `cost` for what binds a layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.count.counted import Counted, OpCount, Uncounted
    from juggler.count.geometry import Geometry
    from juggler.count.network import count

__all__ = ["Counted", "Geometry", "OpCount", "Uncounted", "count"]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.count.counted": ["Counted", "OpCount", "Uncounted"],
        "juggler.count.geometry": ["Geometry"],
        "juggler.count.network": ["count"],
    },
)
