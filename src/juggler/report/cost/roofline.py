"""Draw the roofline: what the machine attains at each intensity, and where each layer stands under it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from juggler.report.kit.page import Drawing
from juggler.report.kit.svg import WHOLE_PX, draw, quiet
from juggler.report.kit.theme import LIGHT

if TYPE_CHECKING:
    from juggler.cost.layers import Layer
    from juggler.cost.roofline import Ceilings

COLOURS = {"compute": LIGHT["flat"], "memory": LIGHT["third"], "overhead": LIGHT["fourth"]}
HEIGHT_PX, LARGEST_POINT = 420, 260
CAPTION = "What the roof allows each layer; the larger the dot, the longer the layer's least time"


def roofline_drawing(layers: Sequence[Layer], ceilings: Ceilings) -> Drawing:
    """Return the roofline with its caption."""
    svg = roofline_figure(layers, ceilings)
    return Drawing(CAPTION, Markup(svg))  # noqa: S704  # matplotlib escapes every label


def roofline_figure(layers: Sequence[Layer], ceilings: Ceilings, name: str = "roofline") -> str:
    """Draw intensity against attainable rate, both logarithmic, as SVG text."""
    shown = [layer for layer in layers if layer.intensity > 0 and layer.least_ms]
    ends = [layer.intensity for layer in shown] + [ceilings.ridge]
    low, high = min(ends) / 2, max(ends) * 2

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        roof = [low, ceilings.ridge, high]
        axes.plot(roof, [ceilings.attainable_gflop_per_s(x) for x in roof], color=LIGHT["ink"], linewidth=1.5)
        longest = max((layer.least_ms or 0.0 for layer in shown), default=1.0) or 1.0
        for bound, colour in COLOURS.items():
            bound_by = [layer for layer in shown if layer.bound == bound]
            axes.scatter(
                [layer.intensity for layer in bound_by],
                [layer.operations / (layer.least_ms or 1.0) / 1e6 for layer in bound_by],
                s=[12 + LARGEST_POINT * (layer.least_ms or 0.0) / longest for layer in bound_by],
                color=colour,
                alpha=0.6,
                linewidths=0,
                label=f"{bound} ({len(bound_by)})",
            )
        axes.set(xscale="log", yscale="log", xlim=(low, high))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("operations a byte")
        axes.set_ylabel("GFLOP/s")
        axes.legend(loc="lower right", markerscale=0.6)
        quiet(axes, grid="y")

    label = "Roofline: attainable GFLOP/s by operations a byte, one dot a layer"
    return draw(name, label, (WHOLE_PX, HEIGHT_PX), paint)
