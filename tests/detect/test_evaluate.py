"""A detector on a user's own labelled records: read, scored, calibrated."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from juggler.data import Records, parse_block
from juggler.detect import Detector, calibrate, evaluate, read_labelled, write_calibrated
from juggler.errors import ConfigError, DataError
from juggler.runtime import Artefact
from small_detector import SCHEMA, as_bytes, records, traffic

LINES = traffic(400, seed=31)


def labelled(folder: Path, lines: list[str], header: str = "") -> Path:
    path = folder / "mine.csv"
    path.write_text("\n".join([*([header] if header else []), *lines]) + "\n", encoding="utf-8")
    return path


def test_labels_of_ones_own_are_taken_by_name_class_and_spelling(artefact: Artefact, tmp_path: Path) -> None:
    words = {
        "normal": "Benign",
        "neptune": "neptune.",
        "portsweep": "probe",
        "guess_passwd": "brute",
        "rootkit": "U2R",
    }
    lines = [",".join([*line.split(",")[:41], words[line.split(",")[41]]]) for line in LINES]
    path = labelled(tmp_path, lines)
    own = read_labelled(path, artefact, {"brute": "r2l"})
    expected, _ = parse_block(as_bytes(LINES), SCHEMA)
    assert own.classes().tolist() == expected.classes().tolist()
    assert own.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and own.source == str(path)
    assert own.unseen().tolist() == [name == "brute" for name in own.labels()]
    scores = evaluate(Detector(artefact), own)
    assert scores.recall == evaluate(Detector(artefact), expected).recall
    assert scores.detection_rate_unseen is not None
    with pytest.raises(DataError, match=r"1 that have no class: 'brute'.*--attack brute=CLASS"):
        read_labelled(path, artefact)
    with pytest.raises(ConfigError, match="no class worm"):
        read_labelled(path, artefact, {"brute": "worm"})


def test_the_28_header_columns_with_a_header_will_do(artefact: Artefact, tmp_path: Path) -> None:
    at = [SCHEMA.all_features.index(name) for name in SCHEMA.header_features]
    lines = [",".join([*(line.split(",")[i] for i in at), line.split(",")[41]]) for line in LINES]
    own = read_labelled(labelled(tmp_path, lines, ",".join([*SCHEMA.header_features, "Label"])), artefact)
    assert evaluate(Detector(artefact), own) == evaluate(
        Detector(artefact), parse_block(as_bytes(LINES), SCHEMA)[0]
    )


def test_records_without_labels_are_refused(artefact: Artefact, tmp_path: Path) -> None:
    path = labelled(tmp_path, [",".join(line.split(",")[:41]) for line in LINES])
    with pytest.raises(DataError, match="carry no attack names"):
        read_labelled(path, artefact)


def scored(artefact: Artefact, values: list[float]) -> tuple[Detector, Records]:
    """Return a detector that gives normal records these scores."""
    some = records(len(values), seed=1)
    normal = replace(some, attacks=np.full(len(values), "normal", dtype=object))

    class Fixed(Detector):
        def probabilities(self, records: Records) -> np.ndarray:
            p = np.zeros((len(records), 5))
            p[:, 0], p[:, 1] = 1 - np.array(values), values
            return p

    return Fixed(artefact), normal


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05, 0.1, 0.5])
def test_the_rate_reached_is_never_above_the_one_asked(artefact: Artefact, rate: float) -> None:
    result = calibrate(Detector(artefact), records(2000, seed=2), rate)
    assert result.interval[0] <= result.reached <= rate <= result.interval[1] + rate
    assert result.asked == rate and result.normals == int((records(2000, seed=2).classes() == 0).sum())
    again = evaluate(Detector(artefact, threshold=result.threshold), records(2000, seed=2))
    assert again.false_alarm_rate == result.reached and again.detection_rate == result.detection_rate


def test_records_of_one_score_stay_together(artefact: Artefact) -> None:
    detector, normal = scored(artefact, [0.1] * 90 + [0.5] * 8 + [0.9] * 2)
    for rate, reached, threshold in ((0.02, 0.02, 0.5), (0.05, 0.02, 0.5), (0.1, 0.1, 0.1)):
        result = calibrate(detector, normal, rate)
        assert result.reached == reached and result.threshold == np.nextafter(1 - (1 - threshold), 2)
    assert calibrate(detector, normal, 0.02).detection_rate is None


def test_wilsons_interval_is_that_of_the_book(artefact: Artefact) -> None:
    detector, normal = scored(artefact, [0.1] * 95 + [0.9] * 5)  # 5 of 100: 0.0215 to 0.1118 (Wilson 1927)
    result = calibrate(detector, normal, 0.05)
    assert result.interval == pytest.approx((0.02154, 0.11175), abs=1e-4)


def test_what_cannot_be_reached_is_refused(artefact: Artefact) -> None:
    detector, normal = scored(artefact, [0.1] * 90 + [1.0] * 10)
    with pytest.raises(DataError, match="Give 1,000 normal records or more"):
        calibrate(detector, normal, 0.001)
    with pytest.raises(DataError, match=r"10.00% of 100 normal records have the highest score"):
        calibrate(detector, normal, 0.05)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        calibrate(detector, normal, 1.0)


def test_a_calibrated_artefact_has_the_threshold_and_says_how_it_was_found(
    artefact: Artefact, tmp_path: Path
) -> None:
    own = read_labelled(labelled(tmp_path, LINES), artefact)
    result = calibrate(Detector(artefact), own, 0.05)
    written = write_calibrated(artefact, result, tmp_path / "mine.onnx")
    assert written.threshold == result.threshold and written.graph != b""
    told = written.fields.provenance["calibration"]
    assert (told["source"], told["sha256"], told["asked"]) == ("mine.csv", own.sha256, 0.05)
    assert evaluate(Detector(written), own).false_alarm_rate == result.reached


def test_all_records_can_be_taken_for_normal_ones(artefact: Artefact) -> None:
    plain = replace(records(200, seed=3), attacks=None)
    assert calibrate(Detector(artefact), plain, 0.05, all_normal=True).normals == 200
    with pytest.raises(DataError, match="carry no attack names"):
        calibrate(Detector(artefact), plain, 0.05)
