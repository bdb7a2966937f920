"""Lay out what a detector is worth and what it has raised."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from juggler.nouns import Alert
from juggler.report.kit import units
from juggler.report.kit.sheet import Column, Sheet, text_columns

if TYPE_CHECKING:
    from juggler.metrics import Scores


def scores_sheet(scores: Iterable[tuple[str, Scores]]) -> Sheet:
    """Lay out the detection scores, one row a run."""
    scores = tuple(scores)
    thresholds = {s.threshold for _, s in scores}
    columns = (
        *text_columns("run"),
        Column("records"),
        *((Column("threshold"),) if len(thresholds) > 1 else ()),
        Column("AUC"),
        Column("false alarms", "%"),
        Column("detected", "%"),
        Column("known types", "%"),
        Column("unseen types", "%"),
        Column("2-class accuracy", "%"),
        Column("all-class accuracy", "%"),
        Column("macro F1"),
    )
    rows = tuple(
        (
            units.clean(label),
            units.count(s.records),
            *((units.significant(s.threshold, 4),) if len(thresholds) > 1 else ()),
            units.decimal(s.auc, 3),
            units.percent(s.false_alarm_rate, 2),
            units.percent(s.detection_rate, 2),
            units.percent(s.detection_rate_known, 2),
            units.percent(s.detection_rate_unseen, 2),
            units.percent(s.accuracy_2class, 2),
            units.percent(s.accuracy_5class, 2),
            units.decimal(s.macro_f1, 3),
        )
        for label, s in scores
    )
    at = f" ({units.significant(thresholds.pop(), 4)} in every run)" if len(thresholds) == 1 else ""
    note = f"An alarm is raised where 1 - p(normal) >= threshold{at}."
    legend = (
        "Detected: attacks that raised an alarm, then those of types known from training, and of types "
        "unseen there; false alarms: normal records that raised one. AUC: area under the "
        "detection/false-alarm curve."
    )
    return Sheet("Detection scores", columns, rows, note=note, legend=legend)


def recall_sheet(scores: Sequence[tuple[str, Scores]]) -> Sheet:
    """Lay out the recall of each class, one row a run."""
    names = list(dict.fromkeys(name for _, s in scores for name in s.recall))
    columns = (*text_columns("run"), *(Column(units.clean(name), "%") for name in names))
    rows = tuple(
        (units.clean(label), *(units.percent(s.recall.get(n), 2) for n in names)) for label, s in scores
    )
    return Sheet("Recall by class", columns, rows)


def alerts_sheet(alerts: Iterable[Alert], shown: int | None = None) -> Sheet:
    """Lay out alerts, the largest first, with the features that weighed most; `shown` is how many at most.

    What is the same in all of them stands in the note, with what the alerts that are not shown hold.
    """
    ranked = sorted(alerts, key=lambda alert: (-alert.count, alert.identity))
    rest = [] if shown is None else ranked[shown:]
    top = ranked[: len(ranked) - len(rest)]
    states, thresholds = {alert.state for alert in ranked}, {alert.threshold for alert in ranked}
    has_context = any(alert.context for alert in top)
    columns = (
        *text_columns("class"),
        Column("alarms"),
        Column("share", "% of all"),
        *text_columns("protocol, service", *(["from, to"] if has_context else [])),
        Column("score"),
        *((Column("threshold"),) if len(thresholds) > 1 else ()),
        Column("first record"),
        Column("last record"),
        *text_columns("weighed most", *(["state"] if len(states) > 1 else []), "time"),
        Column("alert"),
    )
    alarms = sum(alert.count for alert in ranked)
    rows = tuple(
        (
            units.clean(a.attack_class),
            units.count(a.count),
            units.percent(a.count / alarms if alarms else None),
            units.clean(", ".join(filter(None, (a.protocol, a.service)))) or units.DASH,
            *((_ends(a),) if has_context else ()),
            _score(a.score),
            *((units.significant(a.threshold, 3),) if len(thresholds) > 1 else ()),
            units.count(a.first_record),
            units.count(a.last_record),
            _weights(a.weighed),
            *((units.clean(a.state),) if len(states) > 1 else ()),
            _SECOND.sub("", units.clean(a.timestamp).replace("T", " ", 1)),
            units.count(a.identity),
        )
        for a in top
    )
    title, note = _held(top, rest)
    same = f"Threshold: {units.significant(min(thresholds), 3)}." if len(thresholds) == 1 else ""
    return Sheet(title, columns, rows, note=" ".join(filter(None, (note, same))), legend=_WEIGHED)


_SECOND = re.compile(r"\.\d+")  # what is beyond a second
_WEIGHED = "Weighed most: the features without which the score falls most, and by how much."


def _held(top: Sequence[Alert], rest: Sequence[Alert]) -> tuple[str, str]:
    """Return a title and a note: how many alarms the alerts hold that are shown, and those that are not."""
    shown, left = (sum(alert.count for alert in alerts) for alerts in (top, rest))
    alarms = units.count(shown + left)
    if not rest:
        return f"All {units.count(len(top))} alerts, the largest first: {alarms} alarms", ""
    share = units.with_percent_sign(shown / (shown + left) if shown + left else None)
    title = (
        f"The {units.count(len(top))} largest of {units.count(len(top) + len(rest))} alerts: "
        f"{units.count(shown)} of {alarms} alarms, {share}"
    )
    return title, f"Not shown: {units.count(len(rest))} alerts with {units.count(left)} alarms."


def _score(score: float) -> str:
    """Return a score with the digits that tell it from 1: `0.97`, `0.99997`, `over 0.99999`."""
    missing = 1.0 - score
    if 0.0 <= missing < 1e-5:
        return "over 0.99999" if missing else "1"
    return f"{score:.5f}" if 0.0 < missing < 1e-3 else units.significant(score, 3)


def _weights(weighed: Mapping[str, float], shown: int = 3) -> str:
    """Return what weighed most, two digits each; what is under a hundredth of the first says nothing."""
    most = max(weighed.values(), default=0.0)
    parts = [
        f"{units.clean(name)} {units.significant(fall, 2)}"
        for name, fall in weighed.items()
        if fall >= max(most / 100, 1e-5)
    ]
    return ", ".join(parts[:shown]) or ("each under 0.00001" if weighed else units.DASH)


def _ends(alert: Alert) -> str:
    """Return addresses and ports of the connections, as far as the records have them."""
    sides = [
        ":".join(filter(None, (alert.context.get(f"{side}_ip", ""), alert.context.get(f"{side}_port", ""))))
        for side in ("src", "dst")
    ]
    return units.clean(" to ".join(filter(None, sides))) or units.DASH
