"""Lay out every table once, as text cells; the terminal and the page then show the same figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from juggler.nouns import Alert, Certificate, Check, Machine, Refusal, Rewrite, Timing
from juggler.report import units
from juggler.report.int8 import int8_note

if TYPE_CHECKING:
    from juggler.metrics import Scores
    from juggler.runtime import Speedup


@dataclass(frozen=True)
class Column:
    """A column's header and the unit of its cells; numbers stand to the right."""

    name: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Sheet:
    """A table of text cells; `moods` says of each row whether it is `good`, `bad` or neither."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    moods: tuple[str, ...] = ()
    note: str = ""

    def mood(self, row: int) -> str:
        """Return the mood of a row, empty where there is none."""
        return self.moods[row] if row < len(self.moods) else ""


def _words(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, numeric=False) for name in names)


def scores_sheet(scores: Iterable[tuple[str, Scores]]) -> Sheet:
    """Lay out the detection scores, one row a run."""
    scores = tuple(scores)
    thresholds = {s.threshold for _, s in scores}
    columns = (
        *_words("run"),
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
    columns = (*_words("run"), *(Column(units.clean(name), "%") for name in names))
    rows = tuple(
        (units.clean(label), *(units.percent(s.recall.get(n), 2) for n in names)) for label, s in scores
    )
    return Sheet("Recall by class", columns, rows)


def timings_sheet(timings: Sequence[Timing], speedups: Sequence[Speedup] = ()) -> Sheet:
    """Lay out the latencies; the last column compares with the first subject, all else equal.

    It is the median over paired rounds where `speedups` hold it, and the ratio of medians elsewhere.
    """
    first = timings[0].subject if timings else ""
    base = {_alike(t): t.median_ms for t in timings if t.subject == first}
    paired = {(s.subject, _alike(s)): s for s in speedups}
    with_precision = len({t.precision for t in timings}) > 1
    with_memory = any(t.peak_rss_mib is not None for t in timings)
    columns = (
        *_words("network", "backend", *(["precision"] if with_precision else [])),
        Column("batch", "inputs"),
        Column("median", "ms"),
        Column("p95", "ms"),
        Column("p99", "ms"),
        Column("throughput", "inputs/s"),
        *([Column("peak memory", "MiB")] if with_memory else []),
        Column(f"faster than {units.shorten(first, 6)}", "×"),
        *([Column("interval", "95 %")] if paired else []),
    )
    rows = tuple(
        (
            units.clean(t.subject),
            units.clean(t.backend),
            *([units.clean(t.precision)] if with_precision else []),
            units.count(t.batch),
            *(units.significant(v) for v in (t.median_ms, t.p95_ms, t.p99_ms)),
            units.count(t.throughput_per_s if t.median_ms else None),
            *([units.count(t.peak_rss_mib)] if with_memory else []),
            *((units.DASH,) * (1 + bool(paired)) if t.subject == first else _faster(t, base, paired)),
        )
        for t in timings
    )
    note = "Measured, times of one call; throughput is at the median."
    return Sheet("Latency", columns, rows, note=note)


_Alike = tuple[str, str, int]


def _alike(row: Timing | Speedup) -> _Alike:
    """Return what must be equal for two rows to be compared."""
    return row.backend, row.precision, row.batch


def _faster(
    timing: Timing, base: Mapping[_Alike, float], paired: Mapping[tuple[str, _Alike], Speedup]
) -> tuple[str, ...]:
    """Return the ratio and, where there are paired rounds, its interval."""
    found = paired.get((timing.subject, _alike(timing)))
    if found is not None:
        return f"{found.median:.2f}", f"{found.low:.2f}-{found.high:.2f}"
    ratio = units.decimal(_ratio(base, timing), 2)
    return (ratio, units.DASH) if paired else (ratio,)


def _ratio(base: Mapping[_Alike, float], timing: Timing) -> float | None:
    before = base.get(_alike(timing))
    return before / timing.median_ms if before and timing.median_ms else None


def certificate_sheet(certificate: Certificate) -> Sheet:
    """Lay out the checks of a certificate, each with its errors, its limit and whether it is within it."""
    columns = (
        *_words("weights", "type", "input"),
        Column("inside"),
        Column("border"),
        Column("output"),
        Column("limit"),
        *_words("verdict"),
    )
    within = [_within(certificate, check) for check in certificate.checks]
    rows = tuple(
        (
            units.clean(c.weights),
            units.clean(c.dtype),
            units.shape(c.shape),
            units.error(c.inside),
            units.error(c.border),
            units.error(c.output),
            units.limit(certificate.limits.get(c.dtype)),
            "within" if ok else "EXCEEDED",
        )
        for c, ok in zip(certificate.checks, within, strict=True)
    )
    notes = ["Errors are max|difference| / max|reference| of the flat network against the wide one."]
    if certificate.classes_compared:
        agreed, compared = units.count(certificate.classes_agreed), units.count(certificate.classes_compared)
        notes.append(f"Same predicted class on {agreed} of {compared} real inputs.")
    else:
        notes.append("No real inputs were given to compare predicted classes on.")
    if certificate.skipped:
        notes.append(f"The wide network does not accept: {units.clean(', '.join(certificate.skipped))}.")
    if certificate.int8 is not None:
        notes.append(int8_note(certificate.int8))
    moods = tuple("good" if ok else "bad" for ok in within)
    return Sheet("Certificate", columns, rows, moods, " ".join(notes))


def _within(certificate: Certificate, check: Check) -> bool:
    return check.worst <= certificate.limits.get(check.dtype, -math.inf)


def rewrites_sheet(rewrites: Iterable[Rewrite]) -> Sheet:
    """Lay out the rewrites, one row a rule."""
    groups: dict[tuple[str, str], list[Rewrite]] = {}
    for rewrite in rewrites:
        groups.setdefault((rewrite.rule, rewrite.source), []).append(rewrite)
    columns = (
        *_words("rule", "source"),
        Column("times"),
        Column("ops replaced"),
        Column("before", "MACs"),
        Column("after", "MACs"),
        Column("worst error", "float64"),
    )
    rows = tuple(
        (
            units.clean(rule),
            units.clean(source) or units.DASH,
            units.count(len(group)),
            units.count(sum(len(r.nodes) for r in group)),
            units.macs(sum(r.macs_before for r in group)),
            units.macs(sum(r.macs_after for r in group)),
            units.error(_worst([r.error for r in group])),
        )
        for (rule, source), group in groups.items()
    )
    note = "Rewrites build on one another: an op can be counted by several, so the rows do not add up."
    return Sheet("Rewrites", columns, rows, note=note)


def _worst(errors: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, errors)) else max(errors)


def refusals_sheet(refusals: Iterable[Refusal]) -> Sheet:
    """Lay out the refusals, one row a reason, with what the network's owner can do."""
    groups: dict[tuple[str, str, str], list[Refusal]] = {}
    for refusal in refusals:
        groups.setdefault((refusal.rule, refusal.reason, refusal.remedy), []).append(refusal)
    rows = tuple(
        (
            units.clean(rule),
            units.count(len(group)),
            units.shorten(", ".join(group[0].nodes), 48) + (" …" if len(group) > 1 else ""),
            units.clean(reason),
            units.clean(remedy),
        )
        for (rule, reason, remedy), group in groups.items()
    )
    columns = (*_words("rule"), Column("times"), *_words("at", "why not", "what to do"))
    return Sheet("Refusals", columns, rows)


def alerts_sheet(alerts: Iterable[Alert]) -> Sheet:
    """Lay out alerts, with the features that weighed most."""
    columns = (
        Column("alert"),
        *_words("time", "state", "class"),
        Column("score"),
        Column("threshold"),
        Column("records"),
        *_words("first to last", "protocol, service", "weighed most"),
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


def machine_sheet(machine: Machine) -> Sheet:
    """Lay out the machine and the releases that the measurements belong to."""
    rows = [
        ("processor", units.clean(machine.cpu)),
        ("cores", units.count(machine.cores)),
        ("memory", f"{units.decimal(machine.memory_gib, 1)} GiB"),
        ("accelerator", units.clean(machine.accelerator or "none")),
        ("system", units.clean(machine.system)),
        ("Python", units.clean(machine.python)),
        *((units.clean(name), units.clean(release)) for name, release in machine.packages.items()),
    ]
    return Sheet("Machine", _words("part", "value"), tuple(rows))
