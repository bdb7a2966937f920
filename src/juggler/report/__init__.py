"""Tables for the terminal, figures, and a whole run as one HTML file.

The face is lazy: tables need rich alone; matplotlib and jinja2 come in with the first figure or page.

    from juggler.report import Story, write
    write(Story(title="Detector", certificate=result.certificate), "report.html")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.report.detector.figures import confusion_figure, curve_figure
    from juggler.report.html import render, write
    from juggler.report.kit.sheet import sheet_table
    from juggler.report.kit.svg import standalone
    from juggler.report.network.figures import attribution_figure, certificate_figure, latency_figure
    from juggler.report.network.graphs import GraphPicture, draw_graphs
    from juggler.report.reproduction.figures import reproduction_figure
    from juggler.report.reproduction.sheets import Gain, gains
    from juggler.report.story import Story
    from juggler.report.tables import (
        alerts_table,
        attribution_tables,
        certificate_table,
        decisions_table,
        gain_table,
        recall_table,
        refusals_table,
        reproduction_table,
        rewrites_table,
        scores_table,
        timings_table,
    )

__all__ = [
    "Gain",
    "GraphPicture",
    "Story",
    "alerts_table",
    "attribution_figure",
    "attribution_tables",
    "certificate_figure",
    "certificate_table",
    "confusion_figure",
    "curve_figure",
    "decisions_table",
    "draw_graphs",
    "gain_table",
    "gains",
    "latency_figure",
    "recall_table",
    "refusals_table",
    "render",
    "reproduction_figure",
    "reproduction_table",
    "rewrites_table",
    "scores_table",
    "sheet_table",
    "standalone",
    "timings_table",
    "write",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.report.network.figures": ["attribution_figure", "certificate_figure", "latency_figure"],
        "juggler.report.detector.figures": ["confusion_figure", "curve_figure"],
        "juggler.report.reproduction.sheets": ["Gain", "gains"],
        "juggler.report.network.graphs": ["GraphPicture", "draw_graphs"],
        "juggler.report.html": ["render", "write"],
        "juggler.report.reproduction.figures": ["reproduction_figure"],
        "juggler.report.story": ["Story"],
        "juggler.report.kit.svg": ["standalone"],
        "juggler.report.kit.sheet": ["sheet_table"],
        "juggler.report.tables": [
            "alerts_table",
            "attribution_tables",
            "certificate_table",
            "decisions_table",
            "gain_table",
            "recall_table",
            "refusals_table",
            "reproduction_table",
            "rewrites_table",
            "scores_table",
            "timings_table",
        ],
    },
)
