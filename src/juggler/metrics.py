"""Score a detector: one rule for an alarm, the threshold from validation, and what comes of both.

The one rule (protocol of the project's intrusion-detection figures): a record is an alarm when
1 - p(normal) is at least the threshold; its class is then the likeliest attack, and normal otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from juggler.errors import ConfigError, DataError
from juggler.nouns import Noun

_SUM_TOLERANCE = 1e-3
_CURVE_POINTS = 200


@dataclass(frozen=True)
class Scores(Noun):
    """What a detector got right; shares from 0 to 1, None where there is nothing to count.

    Attributes:
        records: records scored.
        threshold: a record is an alarm from this `1 - p(normal)` on.
        auc: area under the curve of detection rate over false-alarm rate.
        false_alarm_rate: share of the normal records that were alarms.
        detection_rate: share of the attack records that were alarms, of whatever class.
        detection_rate_known: the same for attack types that training data hold.
        detection_rate_unseen: the same for attack types that only the test data hold.
        accuracy_2class: share of records rightly called attack or normal.
        accuracy_5class: share of records with the right class.
        macro_f1: mean F1 over the classes that occur as truth or as verdict.
        recall: by class, the share of its records with the right class.
        confusion: counts, true class by row and verdict by column.
        curve: points (false_alarm_rate, detection_rate) from (0, 0) to (1, 1), at most 200.
    """

    records: int
    threshold: float
    auc: float | None
    false_alarm_rate: float | None
    detection_rate: float | None
    detection_rate_known: float | None
    detection_rate_unseen: float | None
    accuracy_2class: float
    accuracy_5class: float
    macro_f1: float
    recall: dict[str, float | None]
    confusion: tuple[tuple[int, ...], ...]
    curve: tuple[tuple[float, float], ...]


def alarm_scores(probabilities: ArrayLike, normal: int = 0) -> NDArray[np.float64]:
    """Return 1 - p(normal) of each record, `[n, classes]` -> `[n]`."""
    scores: NDArray[np.float64] = 1.0 - np.asarray(probabilities, dtype=np.float64)[:, normal]
    return scores


def decide(probabilities: ArrayLike, threshold: float, normal: int = 0) -> NDArray[np.int64]:
    """Return each record's class by the one rule, `[n, classes]` -> `[n]`."""
    p = np.array(probabilities, dtype=np.float64)
    alarm = 1.0 - p[:, normal] >= threshold
    p[:, normal] = -np.inf
    return np.where(alarm, p.argmax(axis=1), normal)


def threshold_for(scores_of_normals: Sequence[ArrayLike], false_alarm_rate: float) -> float:
    """Return the threshold that gives a false-alarm rate on validation records.

    Args:
        scores_of_normals: for each fold, `1 - p(normal)` of its normal validation records, `[n]`.
        false_alarm_rate: share of them that may be alarms, f.

    Returns:
        The median over the folds of the (1 - f) quantile.

    Raises:
        ConfigError: the rate is not between 0 and 1.
        DataError: there is no fold, or one has no scores or a NaN.
    """
    if not 0 < false_alarm_rate < 1:
        raise ConfigError(
            "choose the alarm threshold",
            f"a false-alarm rate of {false_alarm_rate}",
            "Give one between 0 and 1, such as 0.02",
        )
    folds = [np.asarray(scores, dtype=np.float64) for scores in scores_of_normals]
    if not folds or any(fold.ndim != 1 or not len(fold) or np.isnan(fold).any() for fold in folds):
        raise DataError(
            "choose the alarm threshold",
            f"scores of shapes {[fold.shape for fold in folds]}, or a NaN among them",
            "Give one list of finite scores of normal records for each fold",
        )
    return float(np.median([np.quantile(fold, 1 - false_alarm_rate) for fold in folds]))


def roc(scores: ArrayLike, is_attack: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the false-alarm rates and the detection rates at every distinct threshold, falling.

    Args:
        scores: `1 - p(normal)`, `[n]`.
        is_attack: the truth, `[n]`.

    Returns:
        Two arrays of `[distinct scores + 1]`, from (0, 0) to (1, 1); records of one score move together.

    Raises:
        DataError: the shapes differ, a score is NaN, or either kind of record is missing.
    """
    s, truth = np.asarray(scores, dtype=np.float64), np.asarray(is_attack, dtype=np.bool_)
    if s.shape != truth.shape or s.ndim != 1 or np.isnan(s).any() or truth.all() or not truth.any():
        raise DataError(
            "draw the curve of detection and false alarms",
            f"scores {s.shape}, truth {truth.shape} with {int(truth.sum())} attacks, {np.isnan(s).sum()} NaN",
            "Give one finite score a record, of normal records and attacks both",
        )
    order = np.argsort(-s, kind="stable")
    s, truth = s[order], truth[order]
    last = np.append(np.flatnonzero(np.diff(s)), len(s) - 1)
    detected = np.concatenate([[0], truth.cumsum()[last]])
    false = np.concatenate([[0], (~truth).cumsum()[last]])
    return false / false[-1], detected / detected[-1]


def area_under_curve(scores: ArrayLike, is_attack: ArrayLike) -> float:
    """Return the chance that an attack scores above a normal record, a tie counting half; errors as `roc`."""
    false_alarm_rate, detection_rate = roc(scores, is_attack)
    return float(np.trapezoid(detection_rate, false_alarm_rate))


def score(
    probabilities: ArrayLike,
    classes: ArrayLike,
    unseen_mask: ArrayLike | None,
    threshold: float,
    class_names: Sequence[str],
) -> Scores:
    """Score probabilities against the truth by the one rule; class 0 is the normal one.

    Args:
        probabilities: `[n, classes]`, each row's sum within 1e-3 of 1.
        classes: true class of each record, `[n]`.
        unseen_mask: where the record's attack type is not in training data, `[n]`; None where unknown.
        threshold: see `threshold_for`.
        class_names: names of the classes, `normal` first.

    Raises:
        DataError: a shape, a class, a probability or the mask cannot be right.
        ConfigError: the threshold is NaN.
    """
    p, truth, unseen = _checked(probabilities, classes, unseen_mask, class_names)
    if np.isnan(threshold):
        raise ConfigError("score a detector", "a threshold of NaN", "Calibrate it on validation records")
    verdict = decide(p, threshold)
    k = len(class_names)
    confusion = np.bincount(truth * k + verdict, minlength=k * k).reshape(k, k)
    attack, alarm, scores = truth != 0, verdict != 0, alarm_scores(p)
    both = bool(attack.any() and not attack.all())
    return Scores(
        records=len(truth),
        threshold=float(threshold),
        auc=area_under_curve(scores, attack) if both else None,
        false_alarm_rate=_share(alarm[~attack]),
        detection_rate=_share(alarm[attack]),
        detection_rate_known=None if unseen is None else _share(alarm[attack & ~unseen]),
        detection_rate_unseen=None if unseen is None else _share(alarm[attack & unseen]),
        accuracy_2class=float((alarm == attack).mean()),
        accuracy_5class=float((verdict == truth).mean()),
        macro_f1=_macro_f1(confusion),
        recall={name: _share(verdict[truth == i] == i) for i, name in enumerate(class_names)},
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        curve=_thinned(*roc(scores, attack)) if both else (),
    )


def _checked(
    probabilities: ArrayLike, classes: ArrayLike, unseen_mask: ArrayLike | None, class_names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_] | None]:
    """Return the arguments of `score` as arrays, or say what is wrong with them."""
    p, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(classes)
    unseen = None if unseen_mask is None else np.asarray(unseen_mask)
    k = len(class_names)
    if k < 2 or p.ndim != 2 or p.shape[1] != k or truth.shape != p.shape[:1] or not len(p):
        _refuse(
            f"probabilities {p.shape}, classes {truth.shape}, {k} class names", "[n, classes], [n] and n > 0"
        )
    if not (np.isfinite(p).all() and (np.abs(p.sum(axis=1) - 1) <= _SUM_TOLERANCE).all()):
        _refuse("rows of probabilities with a NaN or a sum other than 1", "softmax outputs, not logits")
    if p.min() < 0:
        _refuse(f"a probability of {p.min()}", "softmax outputs, not logits")
    if truth.dtype.kind not in "iu" or truth.min() < 0 or truth.max() >= k:
        _refuse(f"classes of type {truth.dtype}", f"integers from 0 to {k - 1}")
    if unseen is not None and (unseen.shape != truth.shape or unseen.dtype != np.bool_):
        _refuse(f"an unseen mask {unseen.shape} of type {unseen.dtype}", f"bool {truth.shape}")
    return p, truth.astype(np.int64), unseen


def _refuse(fault: str, expected: str) -> None:
    raise DataError("score a detector", fault, f"Give {expected}")


def _share(hits: NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if len(hits) else None


def _macro_f1(confusion: NDArray[np.int64]) -> float:
    """Return the mean F1; a class that is neither truth nor verdict anywhere has none."""
    hits, either = np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1)
    occurs = either > 0
    return float((2 * hits[occurs] / either[occurs]).mean())


def _thinned(
    false_alarm_rate: NDArray[np.float64], detection_rate: NDArray[np.float64]
) -> tuple[tuple[float, float], ...]:
    """Keep at most 200 points, evenly spaced along the curve, so that its steep part stays smooth."""
    points = np.stack([false_alarm_rate, detection_rate], axis=1)
    if len(points) > _CURVE_POINTS:
        way = points.sum(axis=1)  # both rates only grow, so their sum is the way along the curve
        at = np.searchsorted(way, np.linspace(0, way[-1], _CURVE_POINTS))
        points = points[np.unique(at)]
    return tuple((float(x), float(y)) for x, y in points)
