"""Tables for the terminal, figures, and a whole run as one HTML file.

The face is lazy: tables need rich alone; matplotlib and jinja2 come in with the first figure or page.

    from juggler.report import Story, write
    write(Story(title="Detector", certificate=result.certificate), "report.html")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from juggler.errors import Unavailable
from juggler.extras import install_command

if TYPE_CHECKING:
    from juggler.report.attribution_picture import attribution_figure
    from juggler.report.figures import certificate_figure, confusion_figure, curve_figure, latency_figure
    from juggler.report.gain import Gain, gains
    from juggler.report.graphs import GraphPicture, draw_graphs
    from juggler.report.html import render, write
    from juggler.report.reproductions import reproduction_figure
    from juggler.report.story import Story
    from juggler.report.svg import standalone
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
        sheet_table,
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

_FILES = {
    "Gain": "gain",
    "GraphPicture": "graphs",
    "Story": "story",
    "attribution_figure": "attribution_picture",
    "draw_graphs": "graphs",
    "gains": "gain",
    "render": "html",
    "reproduction_figure": "reproductions",
    "standalone": "svg",
    "write": "html",
}


def __getattr__(name: str) -> Any:
    """Import the file that holds `name` when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    file = _FILES.get(name, "figures" if name.endswith("_figure") else "tables")
    try:
        value = getattr(importlib.import_module(f"{__name__}.{file}"), name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in {"matplotlib", "jinja2"}:
            raise
        raise Unavailable(
            f"make a report ({name})",
            f"the package {package} is not installed",
            f"Install it with: {install_command('train')}",
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
