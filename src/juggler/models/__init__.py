"""Networks: arrays -> a trained wide network.

`create` makes one by name, `names` lists them, `save` and `load` keep one in a single safetensors file,
and `fit` trains one by a `Recipe`: the only training loop of the house.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from juggler.digest import weights_sha256

if TYPE_CHECKING:
    from juggler.models.checkpoint import load, save
    from juggler.models.classifier import TrainedClassifier, train_classifier
    from juggler.models.classifier_plan import ClassifierPlan, Learner
    from juggler.models.creation import create, names, origin
    from juggler.models.history import EpochRecord, History
    from juggler.models.inference import probabilities
    from juggler.models.plan import Plan
    from juggler.models.protocol import TrainedDetector, train_detector
    from juggler.models.recipe import Recipe
    from juggler.models.run import DivergenceError
    from juggler.models.training import fit

__all__ = [
    "ClassifierPlan",
    "DivergenceError",
    "EpochRecord",
    "History",
    "Learner",
    "Plan",
    "Recipe",
    "TrainedClassifier",
    "TrainedDetector",
    "create",
    "fit",
    "load",
    "names",
    "origin",
    "probabilities",
    "save",
    "train_classifier",
    "train_detector",
    "weights_sha256",
]

_HOMES = {
    "ClassifierPlan": "classifier_plan",
    "Learner": "classifier_plan",
    "TrainedClassifier": "classifier",
    "train_classifier": "classifier",
    "DivergenceError": "run",
    "EpochRecord": "history",
    "History": "history",
    "Plan": "plan",
    "Recipe": "recipe",
    "TrainedDetector": "protocol",
    "create": "creation",
    "fit": "training",
    "load": "checkpoint",
    "names": "creation",
    "origin": "creation",
    "probabilities": "inference",
    "save": "checkpoint",
    "train_detector": "protocol",
}


def __getattr__(name: str) -> Any:
    """Import a name's file when it is first asked for (PEP 562): importing this room imports no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
