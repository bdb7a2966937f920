"""Count ONNX files by their shapes: each operator does the work of its like in torch; no weight is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.runtime.counting.graph import count_graph

__all__ = ["count_graph"]

__getattr__, __dir__ = face(__name__, {"juggler.runtime.counting.graph": ["count_graph"]})
