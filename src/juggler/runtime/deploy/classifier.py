"""From a trained wide classifier to one ONNX file: flatten, certify, export, check, write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from juggler.data import Pictures
from juggler.errors import ConfigError
from juggler.files import write_atomically
from juggler.models.classifier.training import TrainedClassifier
from juggler.models.train.device_data import standardise
from juggler.runtime.deploy.flat_graph import export_flat, flatten_proved
from juggler.transform import Flattened

CLASSIFIER = "juggler.classifier"
"""Key of the ONNX metadata under which pixels, classes and provenance stand, as JSON."""


@dataclass(frozen=True, eq=False)
class DeployedClassifier:
    """A classifier made flat.

    Attributes:
        flattened: what flattening did, with the certificate.
        path: the ONNX file; it takes pictures as the standard makes them, float32 `[n, C, H, W]`.
    """

    flattened: Flattened
    path: Path


def deploy_classifier(
    classifier: TrainedClassifier, pictures: Pictures, path: str | Path
) -> DeployedClassifier:
    """Flatten a classifier, prove it and write it as ONNX, with all that is needed to use it in the file.

    Args:
        classifier: as trained.
        pictures: real pictures on which the flat network must give the wide one's class.
        path: where to write.

    Raises:
        Refused: the certificate does not pass, or the network cannot be flattened.
        ParityError: ONNX Runtime computes something else than the network.
        ConfigError: there are no pictures, or the file cannot be written.
    """
    if not len(pictures.labels):
        raise ConfigError("deploy a classifier", "no pictures to compare classes on", "Give real pictures")
    inputs = standardise(torch.from_numpy(pictures.images.copy()), classifier.standard)
    flattened = flatten_proved(classifier.network, inputs, "a classifier")
    about = {
        "standard": classifier.standard.to_dict(),
        "classes": list(classifier.classes),
        "provenance": dict(classifier.provenance),
    }
    graph = export_flat(flattened, inputs[:1].clone(), {CLASSIFIER: json.dumps(about, allow_nan=False)})
    return DeployedClassifier(flattened, write_atomically(Path(path), graph))
