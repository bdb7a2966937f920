"""Score a detector on labelled records, attack types that training saw and did not see apart."""

from __future__ import annotations

from juggler.data import Records
from juggler.detect.detector import Detector
from juggler.errors import DataError
from juggler.metrics import Scores, score


def evaluate(detector: Detector, records: Records) -> Scores:
    """Return the scores of the detector on labelled records, by its own threshold.

    Raises:
        DataError: there are no records, they carry no attack names, or their classes are not the
            detector's.
    """
    if not len(records):
        raise DataError(f"evaluate on {records.source}", "it holds no records", "Give labelled records")
    if records.schema.classes != detector.classes:
        raise DataError(
            f"evaluate on {records.source} with the classes {', '.join(records.schema.classes)}",
            f"the detector knows {', '.join(detector.classes)}",
            "Evaluate on records of the data set that the detector was trained for",
        )
    classes, unseen = records.classes(), records.unseen()
    return score(detector.probabilities(records), classes, unseen, detector.threshold, detector.classes)
