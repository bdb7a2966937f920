"""Score a detector on labelled records, and set its threshold on a network's own normal ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from juggler.data import Records
from juggler.data.parse import read
from juggler.detect.detector import NORMAL, Detector
from juggler.errors import ConfigError, DataError
from juggler.metrics import Scores, score
from juggler.nouns import Noun
from juggler.runtime import Artefact, Fields
from juggler.runtime.artefact import write

_NORMAL_NAMES = ("normal", "benign", "background", "0")
_Z = 1.959964  # 95 % of a normal distribution lies within so many deviations


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


def read_labelled(path: str | Path, artefact: Artefact, attacks: Mapping[str, str] | None = None) -> Records:
    """Read a user's own labelled records for an artefact; digest and line numbers come with them.

    A label may be an attack name that the schema knows, a class of the detector, or a word for normal, in any
    case and with a full stop after it.

    Args:
        path: a CSV file, as `juggler detect` takes it, with the label after the features or by header.
        artefact: says which columns are needed, and which classes there are.
        attacks: the class of each label that is neither.

    Raises:
        DataError: it cannot be read, carries no labels, or has some of no known class; they are listed.
        ConfigError: a class in `attacks` is not one of the detector's.
    """
    attacks = dict(attacks or {})
    strange = sorted({*attacks.values()} - {*artefact.classes})
    if strange:
        listed = f"There are: {', '.join(artefact.classes)}"
        raise ConfigError(f"read the labels of {path}", f"no class {', '.join(strange)}", listed)
    records = read(path, artefact.schema, strict=False, needed=artefact.encoder.features)
    known = {name: name for name in artefact.classes} | dict.fromkeys(_NORMAL_NAMES, artefact.classes[NORMAL])
    known |= {**artefact.schema.attack_classes, **attacks}
    labels = records.labels()
    plain = {label: _plain(label, known) for label in {*labels.tolist()}}
    unknown = sorted(label for label, name in plain.items() if name not in known)
    if unknown:
        raise DataError(
            f"read the labels of {path}",
            f"{len(unknown)} that have no class: {', '.join(repr(label[:40]) for label in unknown[:8])}",
            f"Say of which of {', '.join(artefact.classes)} they are: --attack {unknown[0][:40]}=CLASS",
        )
    schema = replace(
        artefact.schema,
        attack_classes=known,
        unseen=tuple(sorted({*artefact.schema.unseen, *({*attacks} - {*artefact.schema.attack_classes})})),
    )
    names = np.array([plain[label] for label in labels.tolist()], dtype=object)
    return replace(records, schema=schema, attacks=names)


def _plain(label: str, known: Mapping[str, str]) -> str:
    """Return a label as it is known, if it is: as written, without its full stop, in small letters."""
    spellings = (label, label.rstrip("."), label.rstrip(".").lower())
    return next((spelling for spelling in spellings if spelling in known), label)


@dataclass(frozen=True)
class Calibration(Noun):
    """A threshold for a false-alarm rate, and the rate that is reached with it.

    Attributes:
        threshold: score from which on a record is an alarm.
        asked: share of normal records that may be alarms.
        reached: share of these normal records that are.
        interval: between what rates the true one lies, at 95 %, had the records been drawn for it.
        held_out: the rate on the half of the records that the threshold was not set on, both ways round.
        normals: how many normal records.
        detection_rate: share of the attack records that are alarms; None where there are none.
        before: the threshold, the false-alarm rate and the detection rate that there were.
        source: the file.
        sha256: its digest.
    """

    threshold: float
    asked: float
    reached: float
    interval: tuple[float, float]
    held_out: float
    normals: int
    detection_rate: float | None
    before: tuple[float, float, float | None]
    source: str
    sha256: str


def calibrate(
    detector: Detector, records: Records, false_alarm_rate: float, *, all_normal: bool = False
) -> Calibration:
    """Return the lowest threshold at which no more than this share of the normal records are alarms.

    Args:
        detector: scores the records.
        records: a network's own; the attacks among them only say what is detected then.
        false_alarm_rate: share of the normal records that may be alarms, above 0 and below 1.
        all_normal: take all records for normal ones, whatever their labels.

    Raises:
        ConfigError: the rate is not between 0 and 1.
        DataError: too few normal records for the rate, or no threshold up to 1 reaches it.
    """
    if not 0 < false_alarm_rate < 1:
        raise ConfigError(
            "calibrate", f"a false-alarm rate of {false_alarm_rate}", "Give one between 0 and 1"
        )
    is_normal = np.ones(len(records), np.bool_) if all_normal else records.classes() == NORMAL
    scores = detector.alarms(records).scores
    normal, attacks = scores[is_normal], scores[~is_normal]
    request = f"calibrate on {records.source} for a false-alarm rate of {false_alarm_rate:g}"
    if len(normal) * false_alarm_rate < 1:
        raise DataError(
            request,
            f"{len(normal)} normal records: less than one may be a false alarm",
            f"Give {math.ceil(1 / false_alarm_rate):,} normal records or more, or a higher rate",
        )
    threshold = _threshold(normal, false_alarm_rate)
    if threshold > 1 or not np.isfinite(normal).all():
        raise DataError(
            request,
            f"{np.mean(normal >= 1):.2%} of {len(normal)} normal records have the highest score",
            "Take a higher rate, or train on records of this network",
        )
    halves = (normal[::2], normal[1::2])
    rates = [np.mean(b >= _threshold(a, false_alarm_rate)) for a, b in (halves, halves[::-1])]
    return Calibration(
        threshold=threshold,
        asked=false_alarm_rate,
        reached=float(np.mean(normal >= threshold)),
        interval=_interval(int((normal >= threshold).sum()), len(normal)),
        held_out=float(np.mean(rates)),
        normals=len(normal),
        detection_rate=float(np.mean(attacks >= threshold)) if len(attacks) else None,
        before=(
            detector.threshold,
            float(np.mean(normal >= detector.threshold)),
            float(np.mean(attacks >= detector.threshold)) if len(attacks) else None,
        ),
        source=records.source,
        sha256=records.sha256,
    )


def write_calibrated(artefact: Artefact, calibration: Calibration, path: Path) -> Artefact:
    """Write the artefact with the new threshold, and how it was found in its provenance.

    Raises:
        ConfigError: the file cannot be written.
    """
    found = calibration.to_dict() | {"source": Path(calibration.source).name}
    provenance = {**artefact.fields.provenance, "calibration": found}
    fields = Fields(**{**vars(artefact.fields), "threshold": calibration.threshold, "provenance": provenance})
    return write(path, artefact.graph, fields)


def _threshold(scores: NDArray[np.float64], rate: float) -> float:
    """Return the lowest number that no more than this share of the scores reach; ties stay together."""
    falling = np.sort(scores)[::-1]
    return float(np.nextafter(falling[math.floor(rate * len(falling) + 1e-9)], np.inf))


def _interval(hits: int, n: int) -> tuple[float, float]:
    """Return Wilson's interval of a share at 95 %."""
    share, spread = hits / n, _Z * _Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / n + spread / n / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
