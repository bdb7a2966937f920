"""Draw the roofline, and a sweep over systolic arrays: cycles against the shape, one curve a dataflow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from juggler.cost.hardware.sweep import Sweep
from juggler.errors import ConfigError
from juggler.report.kit import units
from juggler.report.kit.page import Drawing
from juggler.report.kit.svg import WHOLE_PX, draw, quiet
from juggler.report.kit.theme import LIGHT

if TYPE_CHECKING:
    from juggler.cost.layers import Layer
    from juggler.cost.roofline import Ceilings


HEIGHT_PX = 380
_COLOURS = ("flat", "third", "fourth", "op-conv")
_TICKS = 7
_POINTS = 1500  # more cannot be told apart on the screen


def sweep_figure(sweep: Sweep, name: str = "sweep") -> str:
    """Draw a network's modelled cycles against the rows of the array; a dot is a dataflow's best.

    Args:
        sweep: arrays of about the same number of elements, such as those of `widest_within`.
        name: prefix of the SVG's identifiers.

    Raises:
        ConfigError: fewer than two numbers of rows.
    """
    order = np.argsort(sweep.rows, kind="stable")
    order = order[np.unique(np.linspace(0, order.size - 1, min(order.size, _POINTS)).round().astype(int))]
    rows = sweep.rows[order]
    if rows[0] == rows[-1]:
        raise ConfigError("draw a sweep", f"only arrays of {rows[0]} rows", "Sweep arrays of different rows")
    lowest, highest = int(sweep.cycles.min()), int(sweep.cycles.max())

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for place, dataflow in enumerate(sweep.dataflows):
            colour = LIGHT[_COLOURS[place % len(_COLOURS)]]
            best = sweep.best(dataflow)
            label = f"{dataflow.replace('_', ' ')}: {units.macs(best.cycles)} at {best.rows}×{best.columns}"
            axes.plot(rows, sweep.cycles[place, order], color=colour, linewidth=1.6, label=label)
            axes.plot([best.rows], [best.cycles], "o", color=colour, markersize=8, clip_on=False, zorder=5)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(FixedLocator(_powers(int(rows[0]), int(rows[-1]))))
        axes.yaxis.set_major_locator(FixedLocator(_round(lowest, highest)))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.count(value)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.macs(value)))
        elements = int((sweep.rows * sweep.columns).max())
        axes.set_xlabel(f"rows of an array of {units.count(elements)} elements")
        axes.set_ylabel("cycles, modelled")
        quiet(axes, grid="y")
        figure.legend(loc="outside upper left", ncols=2, handlelength=1.2, borderaxespad=0)

    label = "Modelled cycles of the whole network against the rows of the systolic array, by dataflow"
    return draw(name, label, (WHOLE_PX, HEIGHT_PX), paint)


def _powers(low: int, high: int) -> list[float]:
    """Return powers of two within a range, not too many of them."""
    ticks = [2.0**power for power in range(64) if low <= 2**power <= high]
    return ticks[:: math.ceil(len(ticks) / _TICKS)] if ticks else []


def _round(low: int, high: int) -> list[float]:
    """Return 1, 2, 5, 10 and so on within a range, only powers of ten where these are too many."""
    ticks = [lead * 10.0**power for power in range(19) for lead in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside if len(inside) <= _TICKS else [tick for tick in inside if f"{tick:g}"[0] == "1"]


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
