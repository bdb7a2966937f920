"""Networks: arrays -> a trained wide network.

`create` makes one by name, `names` lists them, `save` and `load` keep one in a single safetensors file,
and `fit` trains one by a `Recipe`: the only training loop of the house.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.digest import weights_sha256
from juggler.lazy import face

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

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.models.checkpoint": ["load", "save"],
        "juggler.models.classifier": ["TrainedClassifier", "train_classifier"],
        "juggler.models.classifier_plan": ["ClassifierPlan", "Learner"],
        "juggler.models.creation": ["create", "names", "origin"],
        "juggler.models.history": ["EpochRecord", "History"],
        "juggler.models.inference": ["probabilities"],
        "juggler.models.plan": ["Plan"],
        "juggler.models.protocol": ["TrainedDetector", "train_detector"],
        "juggler.models.recipe": ["Recipe"],
        "juggler.models.run": ["DivergenceError"],
        "juggler.models.training": ["fit"],
    },
)
