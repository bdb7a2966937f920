"""From a trained wide detector to artefacts: flatten, certify, export, check, write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from juggler.data import Records, Schema
from juggler.errors import ConfigError
from juggler.models.detector.protocol import TrainedDetector
from juggler.models.networks.creation import origin
from juggler.nouns import Rewrite
from juggler.runtime.artefact.fields import Fields
from juggler.runtime.artefact.file import Artefact, write
from juggler.runtime.deploy.flat_graph import export_flat, flatten_proved
from juggler.runtime.export import export
from juggler.transform import Flattened


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
