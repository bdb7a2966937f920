"""Networks: arrays -> a trained wide network.

`create` makes one by name, `names` lists them, `save` and `load` keep one in a single safetensors file,
and `fit` trains one by a `Recipe`: the only training loop of the house.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.digest import weights_sha256
from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.models.classifier.training import (
        ClassifierPlan,
        Learner,
        TrainedClassifier,
        train_classifier,
    )
    from juggler.models.detector.plan import Plan
    from juggler.models.detector.protocol import TrainedDetector, train_detector
    from juggler.models.networks.checkpoint import load, save
    from juggler.models.networks.creation import create, names, origin
    from juggler.models.train.device_data import probabilities
    from juggler.models.train.loop import fit
    from juggler.models.train.recipe import Recipe
    from juggler.models.train.run import DivergenceError
    from juggler.models.train.run_state import EpochRecord, History

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

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.models.networks.checkpoint": ["load", "save"],
        "juggler.models.classifier.training": [
            "ClassifierPlan",
            "Learner",
            "TrainedClassifier",
            "train_classifier",
        ],
        "juggler.models.networks.creation": ["create", "names", "origin"],
        "juggler.models.train.run_state": ["EpochRecord", "History"],
        "juggler.models.train.device_data": ["probabilities"],
        "juggler.models.detector.plan": ["Plan"],
        "juggler.models.detector.protocol": ["TrainedDetector", "train_detector"],
        "juggler.models.train.recipe": ["Recipe"],
        "juggler.models.train.run": ["DivergenceError"],
        "juggler.models.train.loop": ["fit"],
    },
)
