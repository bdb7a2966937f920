"""Score records with an artefact: probabilities, and the one rule that makes alarms of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from juggler.data import Records
from juggler.errors import ArtefactError, DataError
from juggler.metrics import decide
from juggler.runtime import Artefact, Session

NORMAL = 0
"""Index of the normal class: the first, by the schema's own rule."""


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What the detector says of each record.

    Attributes:
        scores: `[n]` float64, `1 - p(normal)`.
        classes: `[n]` int64, index of the likeliest attack class where alarmed, of normal elsewhere.
        is_alarm: `[n]` bool.
    """

    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    is_alarm: NDArray[np.bool_]


class Detector:
    """Run an artefact's network over records.

    Args:
        artefact: network, encoder, classes and threshold.
        session: runs the network; the artefact's own ONNX Runtime session where it is left out.
        threshold: score from which on a record is an alarm; the artefact's own where it is left out.
        batch_records: most records encoded and run at once; bounds the memory.

    Raises:
        ArtefactError: the network does not give one value a class.
    """

    def __init__(
        self,
        artefact: Artefact,
        session: Session | None = None,
        *,
        threshold: float | None = None,
        batch_records: int = 512,
    ) -> None:
        self.artefact = artefact
        self.schema, self.encoder = artefact.schema, artefact.encoder
        self.classes = tuple(artefact.classes)
        self.threshold = float(artefact.threshold if threshold is None else threshold)
        self._session = artefact.session if session is None else session
        self._batch_records = batch_records
        self._check_output()

    def probabilities(self, records: Records) -> NDArray[np.float64]:
        """Return the class probabilities of records, `[n, classes]`; NaN where the network gives none.

        Raises:
            DataError: the records are of another schema.
        """
        if records.schema.name != self.schema.name or records.schema.version != self.schema.version:
            raise DataError(
                f"score {len(records)} records of {records.schema.name} (version {records.schema.version})",
                f"the artefact reads {self.schema.name} (version {self.schema.version})",
                "Read the records by the artefact's own schema",
            )
        if not len(records):
            return np.empty((0, len(self.classes)))
        parts = [self.of_images(self.encoder.encode(part)) for part in self._batches(records)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def of_images(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the class probabilities of encoded records, `[n, C, H, W]` -> `[n, classes]`."""
        return _softmax(self._session.run(images)[0])

    def alarms(self, records: Records) -> Verdicts:
        """Return the verdict on each record: alarm when `1 - p(normal)` reaches the threshold."""
        return self.decide(self.probabilities(records))

    def decide(self, probabilities: NDArray[np.float64]) -> Verdicts:
        """Return the verdicts that go with probabilities, `[n, classes]`."""
        classes = decide(probabilities, self.threshold, normal=NORMAL)
        return Verdicts(1.0 - probabilities[:, NORMAL], classes, classes != NORMAL)

    def _batches(self, records: Records) -> Iterator[Records]:
        if len(records) <= self._batch_records:
            yield records
            return
        for start in range(0, len(records), self._batch_records):
            yield records.take(np.arange(start, min(start + self._batch_records, len(records))))

    def _check_output(self) -> None:
        """Run one image, so that a network of other classes is refused before the first record."""
        shape = self.of_images(np.zeros((1, *self.encoder.shape), np.float32)).shape
        if shape != (1, len(self.classes)) or len(self.classes) < 2:
            raise ArtefactError(
                f"detect {len(self.classes)} classes ({', '.join(self.classes)})",
                f"the network gives {shape} for one record",
                "Export the network again together with its own classes",
            )


def _softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return softmax over the classes in float64, so that scores next to 1 can still be told apart."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=1, keepdims=True)
    return shifted
