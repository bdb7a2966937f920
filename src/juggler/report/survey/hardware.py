"""Draw what a hardware designer asks: accuracy against cycles, and the energy of each precision."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from juggler.report.kit import units
from juggler.report.kit.svg import HALF_PX, draw, quiet
from juggler.report.kit.theme import LIGHT
from juggler.report.survey.bubbles import LARGEST_M, Bubble, draw_bubbles
from juggler.report.survey.figures import OURS, ROW_PX, TITLE_CHARS
from juggler.report.survey.sheets import weakest

if TYPE_CHECKING:
    from juggler.survey.results import Survey

CHOICE_CAPTION = "Which network: accuracy against cycles on its best array, bubble: energy an image"
ENERGY_CAPTION = "Which precision: energy of an image, modelled"
SHADES = ("flat", "third", "fourth", "op-conv", "op-add")


def choice_figure(survey: Survey) -> str:
    """Draw top-1 accuracy against cycles, both as known, energy at the narrowest precision as area."""
    scored = [network for network in survey.networks if network.amounts["top1"].value is not None]
    most = max((network.precisions[0].energy_mj for network in scored), default=1.0)
    bubbles = tuple(
        Bubble(
            units.shorten(network.title, TITLE_CHARS),
            math.log10(network.array.cycles),
            float(network.amounts["top1"].value or 0.0),
            LARGEST_M * network.precisions[0].energy_mj / most,
            weakest((network.amounts["top1"].origin, "modelled")),
        )
        for network in scored
    )
    origins = ", ".join(dict.fromkeys(network.amounts["top1"].origin for network in scored)) or "unavailable"

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        draw_bubbles(axes, bubbles, OURS)
        axes.set_ylabel(f"top-1 accuracy, % ({origins})")
        axes.set_xlabel("cycles an image (modelled, log scale)")
        if bubbles:
            low, high = axes.get_xlim()
            axes.xaxis.set_major_locator(FixedLocator(_decades(low, high)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.macs(10**value)))

    return draw("choice", CHOICE_CAPTION, (HALF_PX, 430), paint)


def energy_figure(survey: Survey) -> str:
    """Draw the energy of an image at each precision: a row a network, a dot a precision, log scale."""
    titles = [units.shorten(network.title, TITLE_CHARS) for network in survey.networks]
    colours = {bits: LIGHT[SHADES[place % len(SHADES)]] for place, bits in enumerate(survey.bits)}
    energies = [at.energy_mj for network in survey.networks for at in network.precisions]
    low, high = math.log10(min(energies)) - 0.1, math.log10(max(energies)) + 0.2

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for row, network in enumerate(survey.networks):
            ends = [math.log10(at.energy_mj) for at in network.precisions]
            axes.plot(ends, [row] * len(ends), color=LIGHT["line"], linewidth=2, zorder=1)
            for at, x in zip(network.precisions, ends, strict=True):
                axes.plot([x], [row], "^", color=colours[at.bits], markersize=8, zorder=2)
        axes.set_yticks(range(len(titles)), titles)
        axes.set_ylim(len(titles) - 0.45, -0.55)
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(FixedLocator(_decades(low, high)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:,.3g}"))
        axes.set_xlabel("mJ an image (modelled, log scale)")
        quiet(axes, grid="x")
        handles = [
            Line2D([], [], linestyle="none", marker="^", markersize=8, color=colour, label=f"{bits} bits")
            for bits, colour in colours.items()
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), borderaxespad=0)

    return draw("energy", ENERGY_CAPTION, (HALF_PX, max(240, ROW_PX * len(titles)) + 70), paint)


def _decades(low: float, high: float) -> list[float]:
    """Return the logarithms of 1, 2, 5, 10 and so on within a range."""
    rows = [
        math.log10(lead) + power
        for power in range(math.floor(low), math.ceil(high) + 1)
        for lead in (1, 2, 5)
    ]
    return [tick for tick in rows if low <= tick <= high]
