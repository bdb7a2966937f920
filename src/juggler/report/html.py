"""Write a whole run as one HTML file that needs nothing else: no network, no scripts, no fonts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from juggler.files import write_atomically
from juggler.report.detector.figures import confusion_figure, curve_figure
from juggler.report.detector.sheets import alerts_sheet, recall_sheet, scores_sheet
from juggler.report.kit import theme, units
from juggler.report.kit.page import Drawing, environment
from juggler.report.network import figures, sheets
from juggler.report.network.figures import attribution_figure
from juggler.report.network.graphs import draw_graphs
from juggler.report.network.sheets import attribution_sheets, decisions_sheet, int8_figures
from juggler.report.story import Story

if TYPE_CHECKING:
    from juggler.metrics import Scores
    from juggler.runtime.measure.attribution import Attribution
    from juggler.transform import Flattened


@dataclass(frozen=True)
class Tile:
    """One key figure: what it is, its value, and the line that says what exactly was counted."""

    label: str
    value: str
    detail: str
    style: str = ""


def tiles(story: Story) -> tuple[Tile, ...]:
    """Return the key figures of the parts that the story has."""
    return (
        *_graph_tiles(story),
        *_certificate_tiles(story),
        *_latency_tiles(story),
        *_detection_tiles(story),
        *_alerts_tiles(story),
    )


def _graph_tiles(story: Story) -> Iterator[Tile]:
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


def _certificate_tiles(story: Story) -> Iterator[Tile]:
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


def _latency_tiles(story: Story) -> Iterator[Tile]:
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


def _detection_tiles(story: Story) -> Iterator[Tile]:
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


def _alerts_tiles(story: Story) -> Iterator[Tile]:
    if story.alerts:
        records = sum(alert.count for alert in story.alerts)
        yield Tile("Alerts", units.count(len(story.alerts)), f"aggregated from {units.count(records)} alarms")


ALERTS_SHOWN = 20


def write(story: Story, path: str | os.PathLike[str]) -> Path:
    """Write the report and return its path; the file is there whole or not at all.

    Raises:
        ConfigError: nothing can be written at that path.
    """
    return write_atomically(Path(path), render(story).encode())


def render(story: Story) -> str:
    """Return the report as HTML text; the same story gives the same text."""
    parts = {
        "graph": _graph(story),
        "certificate": _certificate(story),
        "attribution": _attribution(story),
        "latency": _latency(story),
        "detection": _detection(story),
        "alerts": _alerts(story),
        "machine": _machine(story),
    }
    return (
        environment()
        .get_template("report.html")
        .render(
            story=story,
            tiles=tiles(story),
            light=theme.LIGHT,
            dark=theme.DARK,
            parts={name: part for name, part in parts.items() if part},
        )
    )


def _graph(story: Story) -> dict[str, Any]:
    """Return the drawings, the legend, and the tables of rewrites and refusals."""
    part: dict[str, Any] = {}
    graphs = [(w, g) for w, g in (("before: wide", story.wide), ("after: flat", story.flat)) if g and g.nodes]
    if graphs:
        picture = draw_graphs(*(graph for _, graph in graphs))
        part["drawings"] = [
            {
                "form": form,
                "name": graph.name,
                "ops": units.count(len(graph.nodes)),
                "macs": units.macs(graph.macs) if graph.macs else units.DASH,
                "svg": Markup(svg),  # noqa: S704  # built with an XML writer that escapes every name
            }
            for (form, graph), svg in zip(graphs, picture.svgs, strict=True)
        ]
        part["legend"] = picture.legend
    if story.rewrites:
        part["rewrites"] = sheets.rewrites_sheet(story.rewrites)
    if story.refusals:
        part["refusals"] = sheets.refusals_sheet(story.refusals)
    if story.decisions:
        part["decisions"] = decisions_sheet(story.decisions)
    return part


def _certificate(story: Story) -> dict[str, Any]:
    proof = story.certificate
    if proof is None:
        return {}
    part: dict[str, Any] = {"proof": proof, "sheet": sheets.certificate_sheet(proof)}
    if proof.checks:
        part["figure"] = _drawing("Error of every check", figures.certificate_figure(proof))
    return part


def _attribution(story: Story) -> dict[str, Any]:
    attribution = story.attribution
    if attribution is None or not attribution.steps:
        return {}
    caption = "Median of one call in milliseconds, step by step"
    return {
        "sheets": attribution_sheets(attribution),
        "figure": _drawing(caption, attribution_figure(attribution)),
        "skipped": tuple(map(str, attribution.skipped)),
    }


def _latency(story: Story) -> dict[str, Any]:
    if not story.timings:
        return {}
    caption = "Median of one call in milliseconds; the whisker reaches to the 99th percentile"
    figure = _drawing(caption, figures.latency_figure(story.timings))
    return {"sheet": sheets.timings_sheet(story.timings, story.speedups), "figure": figure}


def _detection(story: Story) -> dict[str, Any]:
    """Return the score tables, the first two different confusion matrices, and the curve."""
    if not story.scores:
        return {}
    drawings = []
    if any(scores.curve for _, scores in story.scores):
        drawings.append(_drawing("Detection rate against false-alarm rate", curve_figure(story.scores)))
    for number, (label, scores) in enumerate(_confusions(story.scores)[:3]):
        svg = confusion_figure(scores, story.class_names, f"confusion{number}")
        drawings.append(_drawing(f"Confusion matrix: {label}", svg))
    part: dict[str, Any] = {"sheet": scores_sheet(story.scores), "drawings": drawings}
    recall = recall_sheet(story.scores)
    if len(recall.columns) > 1:
        part["recall"] = recall
    return part


def _confusions(scores: tuple[tuple[str, Scores], ...]) -> list[tuple[str, Scores]]:
    """Return one entry for each different confusion matrix, its label naming how many share it."""
    groups: dict[object, list[tuple[str, Scores]]] = {}
    for label, score in scores:
        if score.confusion:
            groups.setdefault(score.confusion, []).append((label, score))
    return [
        (group[0][0] + (f" (the same for {len(group) - 1} more)" if len(group) > 1 else ""), group[0][1])
        for group in groups.values()
    ]


def _alerts(story: Story) -> dict[str, Any]:
    if not story.alerts:
        return {}
    shown = story.alerts[:ALERTS_SHOWN]
    note = f"The first {len(shown)} of {units.count(len(story.alerts))}." if shown != story.alerts else ""
    return {"sheet": alerts_sheet(shown), "note": note}


def _machine(story: Story) -> dict[str, Any]:
    part: dict[str, Any] = {}
    if story.machine is not None:
        part["sheet"] = sheets.machine_sheet(story.machine)
    if story.provenance:
        part["provenance"] = [(str(name), str(value)) for name, value in story.provenance.items()]
    return part


def _drawing(caption: str, svg: str) -> Drawing:
    return Drawing(caption, Markup(svg))  # noqa: S704  # matplotlib escapes every label


def write_flattened(source: str, done: Flattened, attribution: Attribution | None, path: str | Path) -> Path:
    """Write the page and return its path.

    Args:
        source: what the network was opened from.
        done: what `flatten` gave.
        attribution: where its speed comes from, where that was measured.
        path: where to write.

    Raises:
        ConfigError: nothing can be written there.
    """
    before, after = done.wide_graph, done.flat_graph
    warning = f"{done.warning}. " if done.warning else ""
    story = Story(
        title=f"{Path(source).name}, flattened",
        summary=f"{warning}{len(before.nodes)} ops and {before.macs:,} multiply-accumulates before, "
        f"{len(after.nodes)} and {after.macs:,} after",
        wide=before,
        flat=after,
        rewrites=done.rewrites,
        refusals=done.refusals,
        decisions=done.decisions,
        certificate=done.certificate,
        attribution=attribution,
        machine=attribution.machine if attribution else None,
        provenance={"source": Path(source).name, "command": "juggler flatten"},
    )
    return write(story, path)
