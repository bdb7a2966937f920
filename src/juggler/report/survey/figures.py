"""Draw the paper's bar figures, 16 to 20 and 23, with the paper's own values beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from juggler.report.kit import units
from juggler.report.kit.svg import HALF_PX, draw, quiet
from juggler.report.kit.theme import LIGHT
from juggler.report.survey.sheets import HATCHES, SIGNS, number

if TYPE_CHECKING:
    from juggler.survey.amount import Amount
    from juggler.survey.results import Survey

OURS, PAPERS = LIGHT["op-conv"], LIGHT["fourth"]
ROW_PX, THICK = 36, 0.38
TITLE_CHARS = 26


@dataclass(frozen=True)
class BarFigure:
    """One of the paper's bar figures.

    Attributes:
        number: in the paper.
        key: the quantity.
        caption: the paper's.
        axis: name and unit of the numbers.
        own_scale: whether the paper measured something else, so that its values need a scale of their own.
    """

    number: int
    key: str
    caption: str
    axis: str
    own_scale: bool = False


BARS = (
    BarFigure(16, "top1", "Top-1 accuracy of each model", "top-1 accuracy, %"),
    BarFigure(17, "top5", "Top-5 accuracy of each model", "top-5 accuracy, %"),
    BarFigure(18, "parameters_m", "The total number of parameters on each architecture", "parameters, 10⁶"),
    BarFigure(19, "gflop", "The total number of operations among each model", "operations, GFLOP"),
    BarFigure(20, "latency_ms", "Inference time on each architecture", "ms an image", own_scale=True),
    BarFigure(23, "power_w", "Power consumption of each model", "W", own_scale=True),
)


def bar_figure(survey: Survey, plan: BarFigure) -> str:
    """Draw one of the bar figures as SVG: two bars a network, or two panels where the scales differ."""
    titles = [units.shorten(network.title, TITLE_CHARS) for network in survey.networks]
    ours = [network.amounts.get(plan.key) for network in survey.networks]
    papers = [network.paper.get(plan.key) for network in survey.networks]

    def paint(figure: Figure) -> None:
        if plan.own_scale:
            left, right = figure.subplots(1, 2, sharey=True)
            _panel(left, plan, ((ours, OURS, 0.0, 2 * THICK),), "ours")
            _panel(right, plan, ((papers, PAPERS, 0.0, 2 * THICK),), "the paper's")
        else:
            left = figure.subplots()
            sides = ((ours, OURS, -THICK / 2, THICK), (papers, PAPERS, THICK / 2, THICK))
            _panel(left, plan, sides, "")
        left.set_yticks(range(len(titles)), titles)
        left.set_ylim(len(titles) - 0.45, -0.55)
        handles = _handles(ours, papers)
        figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=1.2, borderaxespad=0)

    label = f"Figure {plan.number} of the paper: {plan.caption}; ours beside the paper's"
    return draw(f"fig{plan.number}", label, (HALF_PX, ROW_PX * len(titles) + 96), paint)


_Side = tuple[Sequence["Amount | None"], str, float, float]


def _panel(axes: Axes, plan: BarFigure, sides: Sequence[_Side], title: str) -> None:
    values = [a.value for amounts, *_ in sides for a in amounts if a is not None and a.value is not None]
    reach = max(values, default=1.0) or 1.0
    for amounts, colour, shift, thick in sides:
        for row, amount in enumerate(amounts):
            if amount is not None:
                _bar(axes, plan.key, amount, (row + shift, thick, colour, reach))
            elif title:
                axes.text(
                    reach * 0.02, row, "not in the paper", va="center", fontsize=9, color=LIGHT["muted"]
                )
    axes.set_xlim(0, reach * 1.24)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_xlabel(plan.axis)
    if title:
        axes.set_title(title, loc="left", fontweight="bold", pad=6)
    quiet(axes, grid="x")


def _bar(axes: Axes, key: str, amount: Amount, place: tuple[float, float, str, float]) -> None:
    row, thick, colour, reach = place
    if amount.value is None:
        axes.text(reach * 0.02, row, "unavailable", va="center", fontsize=9, color=LIGHT["muted"])
        return
    hatch = HATCHES[amount.origin]
    axes.barh(
        row,
        amount.value,
        height=thick * 0.9,
        facecolor="none" if hatch else colour,
        edgecolor=colour,
        hatch=hatch,
        linewidth=1,
    )
    if amount.low is not None and amount.high is not None:
        axes.plot([amount.low, amount.high], [row, row], color=LIGHT["ink"], linewidth=1.4)
    end = max(amount.value, amount.high or 0.0)
    text = f"{number(key, amount.value)} {SIGNS[amount.origin]}"
    axes.text(end + reach * 0.015, row, text, va="center", fontsize=9.5)


def _handles(ours: Sequence[Amount | None], papers: Sequence[Amount | None]) -> list[Patch]:
    sides = (("ours", OURS, ours), ("the paper's", PAPERS, papers))
    origins = dict.fromkeys(
        (who, amount.origin, colour)
        for who, colour, amounts in sides
        for amount in amounts
        if amount is not None and amount.value is not None
    )
    return [
        Patch(
            facecolor="none" if HATCHES[origin] else colour,
            edgecolor=colour,
            hatch=HATCHES[origin],
            label=f"{who}, {origin} {SIGNS[origin]}",
        )
        for who, origin, colour in origins
    ]
