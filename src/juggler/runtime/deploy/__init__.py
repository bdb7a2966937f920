"""From a trained wide network to the file that runs: flatten, certify, export, check, write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.runtime.deploy.classifier import DeployedClassifier, deploy_classifier
    from juggler.runtime.deploy.detector import Deployed, deploy

__all__ = [
    "Deployed",
    "DeployedClassifier",
    "deploy",
    "deploy_classifier",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.runtime.deploy.classifier": ["DeployedClassifier", "deploy_classifier"],
        "juggler.runtime.deploy.detector": ["Deployed", "deploy"],
    },
)
