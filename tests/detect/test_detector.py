from __future__ import annotations

import numpy as np
import pytest

from juggler.data import Schema
from juggler.detect import Detector, evaluate
from juggler.detect.occlusion import OcclusionAttribution
from juggler.errors import ArtefactError, DataError
from juggler.runtime import Artefact, open_session
from small_detector import SCHEMA, graph_of, records


def test_probabilities_are_the_softmax_of_the_network(artefact: Artefact) -> None:
    some = records(50, seed=2)
    (logits,) = artefact.session.run(artefact.encoder.encode(some))
    exact = np.exp(logits.astype(np.float64))
    exact /= exact.sum(axis=1, keepdims=True)
    found = Detector(artefact).probabilities(some)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_softmax_survives_huge_logits(artefact: Artefact) -> None:
    size = int(np.prod(artefact.encoder.shape))
    bias = np.array([3e38, -3e38, 0, 0, 0], np.float32)
    with open_session(graph_of(np.zeros((5, size), np.float32), bias, artefact.encoder.shape)) as session:
        found = Detector(artefact, session).probabilities(records(3, seed=2))
    np.testing.assert_array_equal(found, np.tile([1.0, 0, 0, 0, 0], (3, 1)))


@pytest.mark.parametrize("batch_records", [1, 7, 49, 50, 51])
def test_the_batch_changes_nothing(artefact: Artefact, batch_records: int) -> None:
    some = records(50, seed=2)
    found = Detector(artefact, batch_records=batch_records).probabilities(some)
    np.testing.assert_allclose(found, Detector(artefact).probabilities(some), rtol=1e-5)


def test_no_records_have_no_probabilities(artefact: Artefact) -> None:
    assert Detector(artefact).probabilities(records(3, seed=2).take([])).shape == (0, 5)


def test_the_one_rule_makes_the_alarms(artefact: Artefact) -> None:
    detector, some = Detector(artefact, threshold=0.3), records(400, seed=2)
    p, verdicts = detector.probabilities(some), detector.alarms(some)
    np.testing.assert_array_equal(verdicts.scores, 1 - p[:, 0])
    np.testing.assert_array_equal(verdicts.is_alarm, verdicts.scores >= 0.3)
    attacks = 1 + p[:, 1:].argmax(axis=1)
    np.testing.assert_array_equal(verdicts.classes, np.where(verdicts.is_alarm, attacks, 0))
    assert 0 < verdicts.is_alarm.sum() < len(some)


def test_a_network_of_other_classes_is_refused(artefact: Artefact) -> None:
    size = int(np.prod(artefact.encoder.shape))
    graph = graph_of(np.zeros((3, size), np.float32), np.zeros(3, np.float32), artefact.encoder.shape)
    with open_session(graph) as session, pytest.raises(ArtefactError, match=r"5 classes.*\(1, 3\)"):
        Detector(artefact, session)


def test_records_of_another_schema_are_refused(artefact: Artefact) -> None:
    fields = {name: getattr(SCHEMA, name) for name in SCHEMA.to_dict()} | {"version": 99}
    other = Schema(**fields)
    some = records(3, seed=2)
    strangers = type(some)(other, some.numbers, some.codes, some.attacks, some.lines)
    with pytest.raises(DataError, match="version 99"):
        Detector(artefact).probabilities(strangers)


def test_evaluation_tells_known_from_unseen(artefact: Artefact) -> None:
    some = records(800, seed=3)
    scores = evaluate(Detector(artefact), some)
    assert scores.records == 800
    assert scores.detection_rate is not None and scores.detection_rate > 0.9
    assert scores.false_alarm_rate is not None and scores.false_alarm_rate < 0.1
    assert scores.detection_rate_known == scores.detection_rate
    assert scores.detection_rate_unseen is None
    assert some.attacks is not None
    renamed = np.where(some.attacks == "neptune", "apache2", some.attacks).astype(object)
    strange = type(some)(some.schema, some.numbers, some.codes, renamed, some.lines)
    apart = evaluate(Detector(artefact), strange)
    assert apart.detection_rate == scores.detection_rate
    verdicts = Detector(artefact).alarms(some)
    assert apart.detection_rate_unseen == verdicts.is_alarm[some.attacks == "neptune"].mean()


def test_evaluation_needs_labelled_records(artefact: Artefact) -> None:
    some = records(3, seed=3)
    bare = type(some)(some.schema, some.numbers, some.codes, None, some.lines)
    with pytest.raises(DataError, match="no attack names"):
        evaluate(Detector(artefact), bare)
    with pytest.raises(DataError, match="no records"):
        evaluate(Detector(artefact), some.take([]))


def test_what_weighed_is_the_fall_of_the_score(artefact: Artefact) -> None:
    detector, some = Detector(artefact), records(200, seed=4)
    assert some.attacks is not None
    row = int(np.flatnonzero(some.attacks == "neptune")[0])
    weighed = OcclusionAttribution(detector, most=5).weigh(some, row)
    record = some.take([row])
    score = 1 - detector.probabilities(record)[0, 0]
    falls = {}
    for name in artefact.encoder.features:
        without = detector.of_images(artefact.encoder.encode_without(record, name))
        falls[name] = score - (1 - without[0, 0])
    most = sorted((n for n in falls if falls[n] > 0), key=lambda n: -falls[n])[:5]
    assert list(weighed) == most
    assert len(weighed) > 0
    for name in most:
        assert weighed[name] == pytest.approx(falls[name], rel=1e-4, abs=1e-9)
    assert OcclusionAttribution(detector, most=0).weigh(some, row) == {}
