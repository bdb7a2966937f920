"""What a candidate's probabilities on a fold say: how much of held-out types is seen at few false alarms.

Three questions. How well does the score rank records of attack types that training did not hold above normal
ones, most of all where false alarms are few? How good are the classes then? And does a threshold hold: set on
other folds' normals, or on normals of other services, how many false alarms does it give here?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from juggler.metrics import alarm_scores, area_under_curve, decide, roc, threshold_for
from juggler.models.detector.protocol import RATES

FEW = 0.05
"""False-alarm rate up to which `auc_few` looks at the curve."""
HALVINGS = 20
"""Times that the services are dealt into two halves."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of the validation records of a fold.

    Attributes:
        classes: `[n]`, 0 the normal one.
        held_out: where the attack type was held out, bool `[n]`.
        types: number of the attack type, `[n]`.
        groups: number of the service, `[n]`.
    """

    classes: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    types: NDArray[np.int64]
    groups: NDArray[np.int64]

    @property
    def normal(self) -> NDArray[np.bool_]:
        """Return where a record is normal."""
        return np.asarray(self.classes == 0)


def scores_of(p: NDArray[np.float32], truth: Truth) -> dict[str, float]:
    """Return what a fold says of probabilities `[n, classes]`, the threshold set on its own normals."""
    scores, normal, held_out = alarm_scores(p), truth.normal, truth.held_out
    either = normal | held_out
    found = {
        "auc_held_out": area_under_curve(scores[either], held_out[either]),
        "auc_few": _area_up_to(scores[either], held_out[either], FEW),
    }
    for rate in RATES:
        threshold = threshold_for([scores[normal]], rate)
        alarms, verdicts = scores >= threshold, decide(p, threshold)
        by_type = [alarms[truth.types == kind].mean() for kind in np.unique(truth.types[held_out])]
        found |= {
            f"detection_rate_held_out_{rate}": float(alarms[held_out].mean()),
            # Types differ a hundredfold in number: each as much as any other.
            f"detection_rate_by_type_{rate}": float(np.mean(by_type)),
            f"macro_f1_{rate}": _macro_f1(verdicts, truth.classes),
            f"detection_rate_known_{rate}": float(alarms[(truth.classes > 0) & ~held_out].mean()),
        }
    return found


def transfer(parts: Sequence[NDArray[np.float32]], truths: Sequence[Truth]) -> dict[str, float]:
    """Return how thresholds hold over the folds of one seed.

    Each fold in turn is the one that a threshold is applied to, and the others are where it is set, by each
    rule of `RULES`: false alarms there, as a mean and in the worst fold. A rule that holds gives the rate
    asked for. `shifted` sets it on one half of the services and applies it to the other.

    Args:
        parts: probabilities of each fold's validation records, `[n, classes]`.
        truths: of each fold.
    """
    normals = [alarm_scores(p)[t.normal] for p, t in zip(parts, truths, strict=True)]
    groups = [t.groups[t.normal] for t in truths]
    held_out = [alarm_scores(p)[t.held_out] for p, t in zip(parts, truths, strict=True)]
    found: dict[str, float] = {}
    for rate in RATES:
        for name, rule in RULES.items():
            false_alarms, detected = [], []
            for i in range(len(normals)):
                others = [j for j in range(len(normals)) if j != i]
                threshold = rule([normals[j] for j in others], [groups[j] for j in others], rate)
                false_alarms.append(float((normals[i] >= threshold).mean()))
                detected.append(float((held_out[i] >= threshold).mean()))
            found[f"false_alarms_{name}_{rate}"] = float(np.mean(false_alarms))
            found[f"false_alarms_worst_{name}_{rate}"] = max(false_alarms)
            found[f"detection_rate_{name}_{rate}"] = float(np.mean(detected))
            shifted = _shifted(normals, groups, rate, name)
            found[f"false_alarms_shifted_{name}_{rate}"] = float(np.mean(shifted))
            found[f"false_alarms_shifted_p90_{name}_{rate}"] = float(np.quantile(shifted, 0.9))
    return found


def _shifted(
    normals: Sequence[NDArray[np.float64]], groups: Sequence[NDArray[np.int64]], rate: float, rule: str
) -> list[float]:
    """Return false alarms on normals of services that the threshold was not set on, for many halvings.

    The halves are dealt by service, so what kind of traffic there is differs between them, as it does between
    two networks. Every service is at least in one of them; a half without records of a fold is not counted.
    """
    draw, kinds = np.random.default_rng(0), np.unique(np.concatenate(groups))
    found = []
    for _ in range(HALVINGS):
        first = kinds[draw.random(len(kinds)) < 0.5]
        sets = [np.isin(g, first) for g in groups]
        if all(0.1 < inside.mean() < 0.9 for inside in sets):
            threshold = RULES[rule](
                [s[inside] for s, inside in zip(normals, sets, strict=True)],
                [g[inside] for g, inside in zip(groups, sets, strict=True)],
                rate,
            )
            rest = [s[~inside] for s, inside in zip(normals, sets, strict=True)]
            found.append(float(np.mean([(s >= threshold).mean() for s in rest])))
    return found or [float("nan")]


def _median(normals: Sequence[NDArray[np.float64]], _: Sequence[NDArray[np.int64]], rate: float) -> float:
    return threshold_for(normals, rate)


def _pooled(normals: Sequence[NDArray[np.float64]], _: Sequence[NDArray[np.int64]], rate: float) -> float:
    return threshold_for([np.concatenate(normals)], rate)


def _highest(normals: Sequence[NDArray[np.float64]], _: Sequence[NDArray[np.int64]], rate: float) -> float:
    return max(threshold_for([fold], rate) for fold in normals)


def _even(normals: Sequence[NDArray[np.float64]], groups: Sequence[NDArray[np.int64]], rate: float) -> float:
    """Return the threshold at which the false alarms, each service counting alike, come to the rate."""
    found = []
    for scores, kinds in zip(normals, groups, strict=True):
        _, which, counts = np.unique(kinds, return_inverse=True, return_counts=True)
        weights = 1.0 / np.maximum(counts[which], 20)  # a service of a few records says little
        order = np.argsort(-scores)
        share = np.cumsum(weights[order]) / weights.sum()
        place = int(np.searchsorted(share, rate, side="right"))
        found.append(float(scores[order][min(place, len(order) - 1)]))
    return float(np.median(found))


RULES = {"median": _median, "pooled": _pooled, "highest": _highest, "even": _even}
"""How a threshold is set on the normals of several folds; `median` is the protocol's."""


def _area_up_to(scores: NDArray[np.float64], attack: NDArray[np.bool_], most: float) -> float:
    """Return the mean detection rate over false-alarm rates from 0 to `most`."""
    false_alarm_rate, detection_rate = roc(scores, attack)
    inside = false_alarm_rate <= most
    x = np.append(false_alarm_rate[inside], most)
    y = np.append(detection_rate[inside], np.interp(most, false_alarm_rate, detection_rate))
    return float(np.trapezoid(y, x) / most)


def _macro_f1(verdicts: NDArray[np.int64], classes: NDArray[np.int64]) -> float:
    kinds = np.union1d(verdicts, classes)
    each = [
        2 * ((verdicts == k) & (classes == k)).sum() / ((verdicts == k).sum() + (classes == k).sum())
        for k in kinds
    ]
    return float(np.mean(each))


def novelty_of(
    normals: NDArray[np.float64], directions: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return directions `[d, inputs]`, offsets and limits `[d]`: how far normal records go along each.

    The directions are the principal axes of normal records, whitened, the narrowest first: along these normal
    records hardly differ, and what does is new. The novelty of a record x is
    `sum(relu(abs(V x - offset) - limit))`: two layers of any flat network.
    """
    mean, spread = normals.mean(0), np.cov(normals, rowvar=False)
    variances, axes = np.linalg.eigh(spread)
    floor = 1e-3 * variances.mean()
    rows = (axes / np.sqrt(np.maximum(variances, floor))).T[:directions]
    offset = rows @ mean
    limit = np.quantile(np.abs(normals @ rows.T - offset), 0.999, axis=0)
    return rows, offset, limit


def novelty(
    x: NDArray[np.float64], fitted: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the novelty of each record, `[n, inputs]` -> `[n]`."""
    rows, offset, limit = fitted
    found: NDArray[np.float64] = np.maximum(np.abs(x @ rows.T - offset) - limit, 0).sum(1)
    return found


def with_ood_score(p: NDArray[np.float32], new: NDArray[np.float64], weight: float) -> NDArray[np.float32]:
    """Return probabilities whose log-odds of an alarm are higher by `weight` times the novelty."""
    logits = np.log(np.maximum(p.astype(np.float64), 1e-30))
    logits[:, 0] -= weight * new
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(odds / odds.sum(1, keepdims=True), dtype=np.float32)


def mean_of(parts: Sequence[NDArray[np.float32]], how: str) -> NDArray[np.float32]:
    """Return members' mean: of their `logits`, as `ensemble.join`; of `probabilities` it is no chain."""
    if how == "probabilities":
        return np.asarray(np.mean(parts, axis=0), dtype=np.float32)
    logs = np.mean([np.log(np.maximum(p.astype(np.float64), 1e-30)) for p in parts], axis=0)
    odds = np.exp(logs - logs.max(1, keepdims=True))
    return np.asarray(odds / odds.sum(1, keepdims=True), dtype=np.float32)


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean, standard deviation and number of each score."""
    found = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        found[key] = {"mean": float(np.mean(values)), "sd": sd, "n": len(values)}
    return found
