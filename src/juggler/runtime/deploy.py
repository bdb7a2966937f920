"""From a trained wide detector to artefacts: flatten, certify, export, check, write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from juggler.data import Records
from juggler.data.dataset import Schema
from juggler.errors import ConfigError, Refused
from juggler.models.protocol import TrainedDetector
from juggler.nouns import Rewrite
from juggler.runtime.artefact import Artefact, write
from juggler.runtime.export import export
from juggler.runtime.fields import Fields
from juggler.transform import Flattened, flatten


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
    example = images[:1].clone()
    flattened = flatten(detector.network, example, inputs=images, on_rewrite=on_rewrite)
    if not flattened.certificate.passed:
        raise Refused(
            "deploy a detector",
            "its certificate does not pass",
            "See the certificate's checks; a network that overflows in float32 is the usual cause",
        )
    forms = {"flat": (flattened.model, name), "wide": (detector.network, f"{name}-wide")}
    written = {
        form: _write(detector, records.schema, flattened, form, export(module, example), Path(folder) / file)
        for form, (module, file) in forms.items()
    }
    return Deployed(flattened, written["flat"], written["wide"])


def _write(
    detector: TrainedDetector, schema: Schema, flattened: Flattened, form: str, graph: bytes, path: Path
) -> Artefact:
    fields = Fields(
        name=str(detector.provenance.get("plan", {}).get("network", {}).get("name", path.stem)),
        form="flat" if form == "flat" else "wide",
        schema=schema,
        encoder=detector.encoder,
        classes=detector.classes,
        threshold=detector.threshold,
        certificate=flattened.certificate,
        provenance=detector.provenance,
    )
    return write(path.with_suffix(".onnx"), graph, fields)
