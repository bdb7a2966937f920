"""Lay out what a detector is worth and what it has raised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    note = (
        f"An alarm is raised where 1 - p(normal) >= threshold{at}. Detected: attacks that raised an alarm, "
        "then those of types known from training, and of types unseen there; false alarms: normal records "
        "that raised one. AUC: area under the detection/false-alarm curve."
    )
    return Sheet("Detection scores", columns, rows, note=note)


def recall_sheet(scores: Sequence[tuple[str, Scores]]) -> Sheet:
    """Lay out the recall of each class, one row a run."""
    names = list(dict.fromkeys(name for _, s in scores for name in s.recall))
    columns = (*text_columns("run"), *(Column(units.clean(name), "%") for name in names))
    rows = tuple(
        (units.clean(label), *(units.percent(s.recall.get(n), 2) for n in names)) for label, s in scores
    )
    return Sheet("Recall by class", columns, rows)


def alerts_sheet(alerts: Iterable[Alert]) -> Sheet:
    """Lay out alerts, with the features that weighed most."""
    columns = (
        Column("alert"),
        *text_columns("time", "state", "class"),
        Column("score"),
        Column("threshold"),
        Column("records"),
        *text_columns("first to last", "protocol, service", "weighed most"),
    )
    rows = tuple(
        (
            units.count(a.identity),
            units.clean(a.timestamp).replace("T", " ", 1),
            units.clean(a.state),
            units.clean(a.attack_class),
            units.decimal(a.score, 4),
            units.significant(a.threshold, 4),
            units.count(a.count),
            f"{units.count(a.first_record)} to {units.count(a.last_record)}",
            units.clean(", ".join(filter(None, (a.protocol, a.service)))) or units.DASH,
            ", ".join(f"{units.clean(n)} {units.decimal(v, 2)}" for n, v in a.weighed.items()) or units.DASH,
        )
        for a in alerts
    )
    note = "Weighed most: the features without which the score falls most, and by how much."
    return Sheet("Alerts", columns, rows, note=note)
