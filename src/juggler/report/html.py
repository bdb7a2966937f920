"""Write a whole run as one HTML file that needs nothing else: no network, no scripts, no fonts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from juggler.files import write_atomically
from juggler.report.detector.figures import confusion_figure, curve_figure
from juggler.report.detector.sheets import alerts_sheet, recall_sheet, scores_sheet
from juggler.report.kit import theme, units
from juggler.report.kit.page import Drawing, environment
from juggler.report.network import figures, sheets
from juggler.report.network.attribution import attribution_sheets, decisions_sheet
from juggler.report.network.attribution_figure import attribution_figure
from juggler.report.network.graphs import draw_graphs
from juggler.report.story import Story
from juggler.report.summary import tiles

if TYPE_CHECKING:
    from juggler.metrics import Scores

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
