"""The predictor of one device: a network in, milliseconds with an interval out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.predict.predictor.predictor import Predictor

__all__ = ["Predictor"]

__getattr__, __dir__ = face(__name__, {"juggler.predict.predictor.predictor": ["Predictor"]})
