import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler import metrics
from juggler.errors import ConfigError, DataError

NAMES = ("normal", "dos", "probe", "r2l", "u2r")


def some(n, seed, k=5):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(k, 0.4), n), rng.integers(0, k, n), rng.random(n) < 0.3


def test_the_one_rule_by_hand():
    p = [[0.6, 0.1, 0.3, 0, 0], [0.5, 0.2, 0.3, 0, 0], [0.1, 0.2, 0.2, 0.5, 0], [1, 0, 0, 0, 0]]
    assert metrics.decide(p, 0.5).tolist() == [0, 2, 3, 0]
    assert metrics.decide(p, 0.4).tolist() == [2, 2, 3, 0]  # an alarm though normal is likeliest
    assert metrics.decide(p, 0.0).tolist() == [2, 2, 3, 1]
    assert metrics.decide(p, 1.1).tolist() == [0, 0, 0, 0]
    assert metrics.decide([[0.2, 0.3, 0.5]], 0.4, normal=2).tolist() == [1]
    given = np.array(p, dtype=np.float32)
    metrics.decide(given, 0.5)
    assert (given == np.array(p, dtype=np.float32)).all()  # the caller's array is not written to


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_alarms_are_those_with_a_score_at_or_above_the_threshold(seed, threshold):
    p, _, _ = some(40, seed)
    scores = metrics.alarm_scores(p)
    threshold = float(scores[0]) if seed % 2 else threshold
    assert ((metrics.decide(p, threshold) != 0) == (scores >= threshold)).all()


def test_the_threshold_is_the_median_of_quantiles():
    folds = [np.arange(101) / 100, np.arange(101) / 200, np.arange(11) / 10]
    assert metrics.threshold_for(folds, 0.1) == pytest.approx(0.9)
    assert metrics.threshold_for(folds[:2], 0.1) == pytest.approx((0.9 + 0.45) / 2)


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan")])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ConfigError, match="false-alarm rate"):
        metrics.threshold_for([[0.1, 0.2]], rate)


@pytest.mark.parametrize("folds", [[], [[]], [[0.1], [float("nan")]], [[[0.1]]]])
def test_folds_without_scores_are_refused(folds):
    with pytest.raises(DataError, match="alarm threshold"):
        metrics.threshold_for(folds, 0.02)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60))
def test_area_is_exact_with_ties(rows):
    scores, truth = np.array([s for s, _ in rows]) / 6, np.array([t for _, t in rows])
    if truth.all() or not truth.any():
        with pytest.raises(DataError):
            metrics.area_under_curve(scores, truth)
        return
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[truth] for b in scores[~truth]]
    assert metrics.area_under_curve(scores, truth) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_the_curve_holds_every_threshold():
    scores, truth = np.array([0.9, 0.8, 0.8, 0.3, 0.1]), np.array([True, True, False, True, False])
    false_alarm_rate, detection_rate = metrics.roc(scores, truth)
    assert false_alarm_rate.tolist() == [0, 0, 0.5, 0.5, 1]
    assert detection_rate.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(60, 400), st.floats(0.05, 0.95))
def test_scores_against_counting_one_by_one(seed, n, threshold):
    p, truth, unseen = some(n, seed)
    got = metrics.score(p, truth, unseen, threshold, NAMES)
    verdict = [int(np.argmax(row[1:])) + 1 if 1 - row[0] >= threshold else 0 for row in p]
    pairs = list(zip(truth.tolist(), verdict, unseen.tolist(), strict=True))

    def share(chosen, hit):
        rows = [pair for pair in pairs if chosen(*pair)]
        return None if not rows else pytest.approx(sum(hit(*pair) for pair in rows) / len(rows))

    def alarm(t, v, u):
        return v > 0

    assert got.records == n and got.threshold == threshold
    assert got.false_alarm_rate == share(lambda t, v, u: t == 0, alarm)
    assert got.detection_rate == share(lambda t, v, u: t > 0, alarm)
    assert got.detection_rate_known == share(lambda t, v, u: t > 0 and not u, alarm)
    assert got.detection_rate_unseen == share(lambda t, v, u: t > 0 and u, alarm)
    assert got.accuracy_2class == share(lambda t, v, u: True, lambda t, v, u: (t > 0) == (v > 0))
    assert got.accuracy_5class == share(lambda t, v, u: True, lambda t, v, u: t == v)
    f1 = []
    for k, name in enumerate(NAMES):
        assert got.recall[name] == share(lambda t, v, u, k=k: t == k, lambda t, v, u: t == v)
        hits, given, called = (
            sum(t == v == k for t, v, _ in pairs),
            sum(t == k for t, _, _ in pairs),
            sum(v == k for _, v, _ in pairs),
        )
        if hits:
            f1.append(2 / (1 / (hits / given) + 1 / (hits / called)))
        elif given or called:
            f1.append(0)
        assert [sum((t, v) == (k, j) for t, v, _ in pairs) for j in range(5)] == list(got.confusion[k])
    assert got.macro_f1 == pytest.approx(np.mean(f1))
    assert got.auc == pytest.approx(metrics.area_under_curve(1 - p[:, 0], truth > 0))


def test_the_curve_is_thinned_and_survives_json():
    p, truth, unseen = some(5000, 1)
    got = metrics.score(p, truth, unseen, 0.5, NAMES)
    assert 150 < len(got.curve) <= 200
    assert got.curve[0] == (0, 0) and got.curve[-1] == (1, 1)
    assert np.trapezoid([y for _, y in got.curve], [x for x, _ in got.curve]) == pytest.approx(
        got.auc, abs=1e-3
    )
    assert metrics.Scores.from_dict(json.loads(got.to_json())) == got


def test_what_cannot_be_counted_is_none():
    p = some(20, 2)[0]
    normals = metrics.score(p, np.zeros(20, dtype=int), None, 0.5, NAMES)
    assert normals.detection_rate is normals.auc is normals.recall["dos"] is None and normals.curve == ()
    assert normals.detection_rate_known is None and normals.detection_rate_unseen is None
    attacks = metrics.score(p, np.full(20, 2), np.zeros(20, dtype=bool), 0.5, NAMES)
    assert attacks.false_alarm_rate is None and attacks.detection_rate_unseen is None
    assert attacks.detection_rate_known == attacks.detection_rate is not None
    assert metrics.Scores.from_json(normals.to_json()) == normals


def test_what_cannot_be_scored_is_refused():
    p, truth, unseen = some(20, 3)
    truth[0], truth[1] = 0, 4
    spoiled = p.copy()
    spoiled[3, 1] = np.nan
    cases = [
        (p[:, :4], truth, unseen, NAMES),
        (p, truth[:-1], unseen, NAMES),
        (p[:0], truth[:0], unseen[:0], NAMES),
        (p[:, :1] * 0 + 1, truth * 0, unseen, NAMES[:1]),
        (spoiled, truth, unseen, NAMES),
        (p * 1.01, truth, unseen, NAMES),
        (np.log(p + 1e-9), truth, unseen, NAMES),
        (np.tile([-0.2, 1.2, 0, 0, 0], (20, 1)), truth, unseen, NAMES),
        (p, truth + 1, unseen, NAMES),
        (p, truth - 1, unseen, NAMES),
        (p, truth * 1.0, unseen, NAMES),
        (p, truth, unseen[:-1], NAMES),
        (p, truth, unseen * 1, NAMES),
    ]
    for probabilities, classes, mask, names in cases:
        with pytest.raises(DataError, match="score a detector"):
            metrics.score(probabilities, classes, mask, 0.5, names)
    with pytest.raises(ConfigError, match="NaN"):
        metrics.score(p, truth, unseen, float("nan"), NAMES)
    metrics.score(p + 1e-5, truth, unseen, 0.5, NAMES)
