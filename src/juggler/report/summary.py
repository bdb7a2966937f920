"""Choose the few figures that stand on top of a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from juggler.report.kit import units
from juggler.report.network.sheets import int8_figures
from juggler.report.story import Story


@dataclass(frozen=True)
class Tile:
    """One key figure: what it is, its value, and the line that says what exactly was counted."""

    label: str
    value: str
    detail: str
    style: str = ""


def tiles(story: Story) -> tuple[Tile, ...]:
    """Return the key figures of the parts that the story has."""
    return (*_graph(story), *_certificate(story), *_latency(story), *_detection(story), *_alerts(story))


def _graph(story: Story) -> Iterator[Tile]:
    if story.wide is None or story.flat is None:
        return
    ops = (len(story.wide.nodes), len(story.flat.nodes))
    yield Tile("Ops", f"{units.count(ops[0])} → {units.count(ops[1])}", "graph ops, wide → flat")
    work = (story.wide.macs, story.flat.macs)
    if any(work):
        share = f"; flat has {units.percent(work[1] / work[0], 0)} % of them" if work[0] else ""
        yield Tile(
            "MACs",
            f"{units.macs(work[0])} → {units.macs(work[1])}",
            f"counted multiply-accumulates, wide → flat{share}",
        )


def _certificate(story: Story) -> Iterator[Tile]:
    proof = story.certificate
    if proof is None:
        return
    parts = [
        f"{dtype} {units.error(proof.worst(dtype))} (limit {units.limit(limit)})"
        for dtype, limit in proof.limits.items()
        if any(check.dtype == dtype for check in proof.checks)
    ]
    if proof.classes_compared:
        parts.append(
            f"{units.count(proof.classes_agreed)} of {units.count(proof.classes_compared)} classes agree"
        )
    if proof.int8 is not None:
        parts.append(int8_figures(proof.int8))
    style = "good" if proof.passed else "bad"
    yield Tile(
        "Certificate",
        "passed" if proof.passed else "FAILED",
        _unbroken("; ".join(parts)) or "no checks",
        style,
    )


def _unbroken(text: str) -> str:
    """Keep `1e-12` on one line: the page may break a line after a plain hyphen."""
    return text.replace("e-", "e\N{NON-BREAKING HYPHEN}")


def _latency(story: Story) -> Iterator[Tile]:
    """Give the fastest median at the smallest batch, beside the first subject's on the same backend."""
    valid = [t for t in story.timings if not units.missing(t.median_ms)]
    if not valid:
        return
    batch = min(t.batch for t in valid)
    best = min((t for t in valid if t.batch == batch), key=lambda t: t.median_ms)
    first = story.timings[0].subject
    detail = f"{units.clean(best.subject)}, {units.clean(best.backend)}: fastest median measured"
    same = [t for t in valid if (t.subject, t.backend, t.batch) == (first, best.backend, batch)]
    if same and best.subject != first and best.median_ms:
        ratio = same[0].median_ms / best.median_ms
        detail += f"; {units.decimal(ratio, 2)}× faster than {units.clean(first)} there"
    yield Tile(f"Latency, batch {batch}", f"{units.significant(best.median_ms)} ms", detail)


def _detection(story: Story) -> Iterator[Tile]:
    if not story.scores:
        return
    label, scores = story.scores[0]
    yield Tile(
        "Attacks detected",
        units.with_percent_sign(scores.detection_rate),
        f"at {units.with_percent_sign(scores.false_alarm_rate)} false alarms; {units.clean(label)}, "
        f"{units.count(scores.records)} records",
    )
    if not units.missing(scores.detection_rate_unseen):
        yield Tile(
            "Unseen types detected",
            units.with_percent_sign(scores.detection_rate_unseen),
            "attack types that training never saw; of known types "
            f"{units.with_percent_sign(scores.detection_rate_known)}",
        )


def _alerts(story: Story) -> Iterator[Tile]:
    if story.alerts:
        records = sum(alert.count for alert in story.alerts)
        yield Tile("Alerts", units.count(len(story.alerts)), f"aggregated from {units.count(records)} alarms")
