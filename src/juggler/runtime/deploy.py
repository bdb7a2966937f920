"""From a trained wide network to the file that runs: flatten, certify, export, check, write."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from juggler.data import Pictures, Records, Schema
from juggler.errors import ConfigError, Refused
from juggler.files import write_atomically
from juggler.models.classifier.training import TrainedClassifier
from juggler.models.detector.protocol import TrainedDetector
from juggler.models.networks.creation import origin
from juggler.models.train.device_data import standardise
from juggler.nouns import Rewrite
from juggler.runtime.artefact import Artefact, Fields, write
from juggler.runtime.export import PARITY_LIMIT, export
from juggler.runtime.int8.certified import CERTIFICATE, quantize_certified
from juggler.transform import Flattened, flatten


def flatten_proved(
    network: nn.Module, inputs: Tensor, subject: str, on_rewrite: Callable[[Rewrite], None] | None = None
) -> Flattened:
    """Flatten a network that is to be deployed, and refuse it where the proof fails.

    Args:
        network: as trained.
        inputs: real inputs, `[n, ...]`, on which the flat network must give the wide one's class.
        subject: what is deployed, for the refusal.
        on_rewrite: called with each rewrite as it is made.

    Raises:
        Refused: the certificate does not pass, or the network cannot be flattened.
    """
    flattened = flatten(network, inputs[:1].clone(), inputs=inputs, on_rewrite=on_rewrite)
    if not flattened.certificate.passed:
        raise Refused(
            f"deploy {subject}",
            "its certificate does not pass",
            "See the certificate's checks; a network that overflows in float32 is the usual cause",
        )
    return flattened


def export_flat(
    flattened: Flattened,
    example: Tensor,
    metadata: Mapping[str, str] | None = None,
    parity_limit: float = PARITY_LIMIT,
) -> bytes:
    """Return a flat network as ONNX, with its certificate and other metadata in it.

    Raises:
        ConfigError: a network that cannot be exported.
        ParityError: ONNX Runtime computes something else than the network.
    """
    proof = {CERTIFICATE: flattened.certificate.to_json()}
    return export(flattened.model, example, metadata=proof | dict(metadata or {}), parity_limit=parity_limit)


def ship(
    flattened: Flattened,
    example: Tensor,
    path: str | Path,
    *,
    int8: Tensor | None = None,
    parity_limit: float = PARITY_LIMIT,
) -> Iterator[str]:
    """Write `PATH`, and `PATH-int8.onnx` where inputs to calibrate on are given; yield a line a file.

    Args:
        flattened: what `flatten` gave.
        example: one input, batch first.
        path: where to write the network in float32.
        int8: real inputs, `[n, ...]`; some of them are held out to compare the answers on.
        parity_limit: see `juggler.runtime.export.export`.

    Raises:
        ConfigError: inputs that cannot work, or a network that cannot be exported.
        Refused: int8 is not near enough to float32.
        ParityError: ONNX Runtime computes something else than the network.
    """
    with warnings.catch_warnings(record=True) as losses:
        warnings.simplefilter("always", RuntimeWarning)
        graph = export_flat(flattened, example, parity_limit=parity_limit)
    path = write_atomically(Path(path), graph)
    loss_text = "; ".join(str(loss.message) for loss in losses if loss.category is RuntimeWarning)
    yield f"{path} ({loss_text})" if loss_text else str(path)
    if int8 is None:
        return
    quantized = quantize_certified(path, int8.numpy())
    record = quantized.record
    int8_path = write_atomically(path.with_name(f"{path.stem}-int8.onnx"), quantized.graph)
    noise = "the same answers" if record.signal_to_noise_db is None else f"{record.signal_to_noise_db:.0f} dB"
    classes = (
        f", {record.classes_agreed} of {record.classes_compared} classes" if record.classes_compared else ""
    )
    yield f"{int8_path} (int8: {noise}{classes}, on {record.checked} inputs held out)"


@dataclass(frozen=True, eq=False)
class Deployed:
    """A detector in both its forms.

    Attributes:
        flattened: what flattening did, with the certificate.
        flat: the artefact to deploy.
        wide: the same detector as it was trained, to compare with.
    """

    flattened: Flattened
    flat: Artefact
    wide: Artefact


def deploy(
    detector: TrainedDetector,
    records: Records,
    folder: str | Path,
    *,
    name: str = "detector",
    on_rewrite: Callable[[Rewrite], None] | None = None,
) -> Deployed:
    """Flatten a detector, prove it and write `NAME.onnx` and `NAME-wide.onnx`.

    Args:
        detector: as trained.
        records: real records on which the flat network must give the wide one's class.
        folder: where to write.
        name: first part of the file names.
        on_rewrite: called with each rewrite as it is made.

    Raises:
        Refused: the certificate does not pass, or the network cannot be flattened.
        ParityError: ONNX Runtime computes something else than the network.
        ConfigError: there are no records, or the files cannot be written.
    """
    if not len(records):
        raise ConfigError("deploy a detector", "no records to compare classes on", "Give real records")
    images = torch.from_numpy(detector.encoder.encode(records))
    flattened = flatten_proved(detector.network, images, "a detector", on_rewrite)
    example = images[:1].clone()
    folder = Path(folder)
    flat = _fields(detector, records.schema, flattened)
    return Deployed(
        flattened,
        flat=write(folder / f"{name}.onnx", export_flat(flattened, example), flat),
        wide=write(
            folder / f"{name}-wide.onnx", export(detector.network, example), replace(flat, form="wide")
        ),
    )


def _fields(detector: TrainedDetector, schema: Schema, flattened: Flattened) -> Fields:
    return Fields(
        name=origin(detector.network)[0],
        form="flat",
        schema=schema,
        encoder=detector.encoder,
        classes=detector.classes,
        threshold=detector.threshold,
        certificate=flattened.certificate,
        provenance=detector.provenance,
    )


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
