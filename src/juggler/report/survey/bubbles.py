"""Draw the paper's bubble figures, 21, 22, 24, 28 and 29: two quantities, and parameters as areas."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from juggler.report.kit import units
from juggler.report.kit.svg import WHOLE_PX, draw, quiet
from juggler.report.kit.theme import LIGHT
from juggler.report.survey.figures import OURS, PAPERS, TITLE_CHARS
from juggler.report.survey.sheets import HOLLOW, MARKERS, SIGNS, weakest

if TYPE_CHECKING:
    from juggler.survey.amount import Amount
    from juggler.survey.results import Survey, Surveyed

HEIGHT_PX = 400
LARGEST, SMALLEST = 1300.0, 26.0  # areas, in square points
LARGEST_M = 150.0  # parameters of the largest bubble, in 10^6
CHARACTER_PX, LINE_PX = 5.6, 13.0


@dataclass(frozen=True)
class BubbleFigure:
    """One of the paper's bubble figures: its number, what lies along x and y, and its caption."""

    number: int
    x: str
    y: str
    caption: str


BUBBLES = (
    BubbleFigure(
        21, "gflop", "latency_ms", "Inference time per image v.s. operations ∝ the number of parameters"
    ),
    BubbleFigure(
        22, "latency_ms", "top1", "Inference time per image v.s. top-1 accuracy ∝ the number of parameters"
    ),
    BubbleFigure(
        24, "latency_ms", "power_w", "Power v.s. inference time per image ∝ the number of parameters"
    ),
    BubbleFigure(28, "gflop", "top1", "Top-1 accuracy v.s. operations ∝ the number of parameters"),
    BubbleFigure(29, "power_w", "top1", "Top-1 accuracy v.s. power ∝ the number of parameters"),
)
AXES = {
    "gflop": "operations, GFLOP",
    "latency_ms": "time an image, ms",
    "top1": "top-1 accuracy, %",
    "power_w": "power, W",
    "energy_mj": "energy an image, mJ",
}


@dataclass(frozen=True)
class Bubble:
    """One network in a figure; its origin is that of the weaker of the two figures."""

    title: str
    x: float
    y: float
    parameters_m: float
    origin: str


def bubble_figure(survey: Survey, plan: BubbleFigure) -> str:
    """Draw one of the bubble figures as SVG: ours on the left, the paper's on the right."""
    sides = (
        (
            "ours",
            OURS,
            _bubbles(survey, plan, lambda network: network.amounts),
            _origins(survey, plan, ours=True),
        ),
        (
            "the paper's",
            PAPERS,
            _bubbles(survey, plan, lambda network: network.paper),
            _origins(survey, plan, ours=False),
        ),
    )

    def paint(figure: Figure) -> None:
        for axes, (who, colour, bubbles, origins) in zip(figure.subplots(1, 2), sides, strict=True):
            axes.set_title(who, loc="left", fontweight="bold", pad=6)
            axes.set_xlabel(f"{AXES[plan.x]} ({origins[0]})")
            axes.set_ylabel(f"{AXES[plan.y]} ({origins[1]})")
            draw_bubbles(axes, bubbles, colour)
        figure.legend(
            handles=_handles([b.origin for _, _, bubbles, _ in sides for b in bubbles]),
            loc="outside upper left",
            ncols=7,
            handletextpad=0.3,
            borderaxespad=0,
        )

    label = f"Figure {plan.number} of the paper: {plan.caption}; ours beside the paper's"
    return draw(f"fig{plan.number}", label, (WHOLE_PX, HEIGHT_PX), paint)


def _bubbles(
    survey: Survey, plan: BubbleFigure, amounts: Callable[[Surveyed], dict[str, Amount]]
) -> tuple[Bubble, ...]:
    bubbles = []
    for network in survey.networks:
        held = amounts(network)
        x, y, size = (held.get(key) for key in (plan.x, plan.y, "parameters_m"))
        if x is None or y is None or size is None or None in (x.value, y.value, size.value):
            continue
        title = units.shorten(network.title, TITLE_CHARS)
        numbers = (float(x.value or 0), float(y.value or 0), float(size.value or 0))
        bubbles.append(Bubble(title, *numbers, weakest((x.origin, y.origin))))
    return tuple(bubbles)


def _origins(survey: Survey, plan: BubbleFigure, *, ours: bool) -> tuple[str, str]:
    """Return in words where the figures of each axis come from."""
    texts = []
    for key in (plan.x, plan.y):
        held = [(network.amounts if ours else network.paper).get(key) for network in survey.networks]
        origins = dict.fromkeys(a.origin for a in held if a is not None and a.value is not None)
        texts.append(", ".join(origins) or "unavailable")
    return texts[0], texts[1]


def draw_bubbles(axes: Axes, bubbles: Sequence[Bubble], colour: str) -> None:
    """Draw bubbles with their names on axes that are set to hold them."""
    quiet(axes, grid="y")
    axes.grid(axis="x", linewidth=1)
    if not bubbles:
        axes.text(0.5, 0.5, "nothing to draw", ha="center", va="center", color=LIGHT["muted"])
        axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
        return
    axes.set_xlim(*_room([b.x for b in bubbles]))
    axes.set_ylim(*_room([b.y for b in bubbles]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    for bubble in sorted(bubbles, key=lambda b: -b.parameters_m):
        hollow = bubble.origin in HOLLOW
        axes.scatter(
            [bubble.x],
            [bubble.y],
            s=area(bubble.parameters_m),
            marker=MARKERS[bubble.origin],
            facecolor="none" if hollow else colour,
            edgecolor=colour,
            alpha=0.9 if hollow else 0.55,
            linewidths=1.6,
            clip_on=False,
        )
        axes.plot([bubble.x], [bubble.y], ".", color=colour, markersize=4, clip_on=False)
    _name(axes, bubbles)


def area(parameters_m: float) -> float:
    """Return the area of a bubble: in proportion to the parameters, but never too small to see."""
    return max(SMALLEST, LARGEST * parameters_m / LARGEST_M)


def _room(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis, with room for bubbles at them."""
    low, high = min(values), max(values)
    span = (high - low) or abs(high) or 1.0
    return max(0.0, low - 0.16 * span) if low >= 0 else low - 0.16 * span, high + 0.18 * span


def _name(axes: Axes, bubbles: Sequence[Bubble]) -> None:
    """Write each name where it covers least: beside its bubble, above or below it."""
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    wide, high = WHOLE_PX / 2 - 110, HEIGHT_PX - 110  # about what the axes have, in pixels
    places = [((b.x - x0) / (x1 - x0) * wide, (b.y - y0) / (y1 - y0) * high) for b in bubbles]
    radii = [math.sqrt(area(b.parameters_m) / math.pi) for b in bubbles]
    taken = [(x - r, y - r, x + r, y + r) for (x, y), r in zip(places, radii, strict=True)]
    for bubble, (x, y), r in zip(bubbles, places, radii, strict=True):
        length = CHARACTER_PX * len(bubble.title)
        spots = _spots(x, y, r, length)
        best = min(spots, key=lambda spot: _cost(spot[0], taken, (wide, high)))
        taken.append(best[0])
        axes.annotate(
            bubble.title,
            (bubble.x, bubble.y),
            best[1],
            textcoords="offset points",
            ha=best[2],
            va="center",
            fontsize=9.5,
            annotation_clip=False,
        )


_Box = tuple[float, float, float, float]
_Spot = tuple[_Box, tuple[float, float], str]


def _spots(x: float, y: float, r: float, length: float) -> list[_Spot]:
    """Return where a name could stand: its box in pixels, its offset and its alignment, the best first."""
    spots: list[_Spot] = []
    for far in (4.0, 16.0, 30.0):
        d, half = r + far, LINE_PX / 2
        for dx, dy, ha in (
            (d, 0.0, "left"),
            (-d, 0.0, "right"),
            (0.0, d + half, "center"),
            (0.0, -d - half, "center"),
            (0.7 * d, 0.7 * d + half, "left"),
            (0.7 * d, -0.7 * d - half, "left"),
            (-0.7 * d, 0.7 * d + half, "right"),
            (-0.7 * d, -0.7 * d - half, "right"),
        ):
            left = {"left": x + dx, "right": x + dx - length, "center": x + dx - length / 2}[ha]
            spots.append(((left, y + dy - half, left + length, y + dy + half), (dx, dy), ha))
    return spots


def _cost(box: _Box, taken: Sequence[_Box], room: tuple[float, float]) -> float:
    """Return how much a box covers of others and how far it leaves the axes."""
    covered = 0.0
    for spot in taken:
        wide = min(box[2], spot[2]) - max(box[0], spot[0])
        high = min(box[3], spot[3]) - max(box[1], spot[1])
        covered += max(0.0, wide) * max(0.0, high)
    out = max(0.0, -box[0]) + max(0.0, box[2] - room[0]) + max(0.0, -box[1]) + max(0.0, box[3] - room[1])
    return covered + 50.0 * out


def _handles(origins: Sequence[str]) -> list[Line2D]:
    markers = [origin for origin in MARKERS if origin in origins]
    return [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=MARKERS[origin],
            markersize=9,
            markerfacecolor="none" if origin in HOLLOW else LIGHT["muted"],
            markeredgecolor=LIGHT["muted"],
            label=f"{SIGNS[origin]} {origin}",
        )
        for origin in markers
    ]
