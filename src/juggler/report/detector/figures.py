"""Draw what a detector is worth: confusion, and the detection curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator

from juggler.report.kit import units
from juggler.report.kit.svg import HALF_PX, draw, quiet
from juggler.report.kit.theme import LIGHT, SERIES

if TYPE_CHECKING:
    from juggler.metrics import Scores


def confusion_figure(scores: Scores, class_names: Sequence[str], name: str = "confusion") -> str:
    """Draw one confusion matrix: counts, and per cent of the true class (row) as the depth of colour."""
    matrix = scores.confusion
    size = len(matrix)
    names = [units.shorten(n, 12) for n in class_names] or [str(i) for i in range(size)]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, row in enumerate(matrix):
            for j, number in enumerate(row):
                _confusion_cell(axes, (i, j), number, number / sum(row) if sum(row) else math.nan)
        axes.set_xlim(0, size)
        axes.set_ylim(size, 0)
        middles = [i + 0.5 for i in range(size)]
        axes.set_xticks(middles, names)
        axes.set_yticks(middles, names)
        axes.tick_params(axis="x", labelcolor=LIGHT["ink"], labelsize=11)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        quiet(axes)

    label = "Confusion matrix: rows are true classes, columns are predicted classes"
    return draw(name, label, (HALF_PX, min(430, 62 * size + 70)), paint)


def _confusion_cell(axes: Axes, place: tuple[int, int], number: int, part: float) -> None:
    i, j = place
    right = i == j
    strength = 0.0 if units.missing(part) else part
    axes.add_patch(Rectangle((j + 0.02, i + 0.03), 0.96, 0.94, facecolor=LIGHT["hair"], linewidth=0))
    axes.add_patch(
        Rectangle(
            (j + 0.02, i + 0.03),
            0.96,
            0.94,
            facecolor=LIGHT["flat" if right else "bad"],
            alpha=round(strength, 3),
            linewidth=0,
        )
    )
    ink = LIGHT["on-flat"] if strength > 0.8 else LIGHT["ink"]
    axes.text(j + 0.5, i + 0.42, units.count(number), ha="center", va="center", color=ink, fontsize=12)
    share = units.with_percent_sign(part)
    axes.text(j + 0.5, i + 0.70, share, ha="center", va="center", color=ink, fontsize=9.5)


def curve_figure(scores: Sequence[tuple[str, Scores]], name: str = "curve") -> str:
    """Draw detection rate against false-alarm rate (log scale), each operating point marked."""
    groups = _distinct(scores)
    positive = [x for _, s in groups for x, _ in s.curve if x > 0]
    lowest = max(1e-4, 10 ** math.floor(math.log10(min(positive)))) if positive else 1e-4
    colours = [LIGHT[c] for c in SERIES]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for i, (label, score) in enumerate(groups):
            colour = colours[i % len(colours)]
            points = thinned(score.curve, lowest)
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=2, label=label)
            x, y = score.false_alarm_rate, score.detection_rate
            if x is not None and y is not None and not (units.missing(x) or units.missing(y)):
                x = max(x, lowest)
                axes.plot([x], [y], "o", color=colour, markersize=9, clip_on=False, zorder=5)
                axes.axvline(x, color=colour, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
        axes.set_xscale("log")
        axes.set_xlim(lowest, 1)
        axes.set_ylim(0, 1.01)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g} %"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.0f} %"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="y", labelcolor=LIGHT["muted"])
        axes.tick_params(axis="x", pad=7)
        axes.set_xlabel("false-alarm rate (log scale); dots are the operating points")
        axes.set_ylabel("detection rate")
        quiet(axes, grid="y")
        axes.grid(axis="x", linewidth=1)
        figure.legend(loc="outside upper left", ncols=2, handlelength=1.2, borderaxespad=0)

    return draw(name, "Detection rate against false-alarm rate", (HALF_PX, 380), paint)


def _distinct(scores: Sequence[tuple[str, Scores]], most: int = 5) -> list[tuple[str, Scores]]:
    """Return one entry for each different curve; its label says how many more coincide with it."""
    groups: dict[object, list[tuple[str, Scores]]] = {}
    for label, score in scores:
        if score.curve:
            key = (score.curve, score.threshold, score.detection_rate, score.false_alarm_rate)
            groups.setdefault(key, []).append((label, score))
    return [
        (
            units.shorten(group[0][0], 34) + (f" (+{len(group) - 1} alike)" if len(group) > 1 else ""),
            group[0][1],
        )
        for group in list(groups.values())[:most]
    ]


def thinned(curve: Sequence[tuple[float, float]], lowest: float) -> list[tuple[float, float]]:
    """Return the points that can be told apart on screen, first and last among them."""
    points: list[tuple[float, float]] = []
    below = sum(x <= lowest for x, _ in curve)
    # What lies left of the axis is one point on its edge: the best rate reached up to there.
    for x, y in curve[max(0, below - 1) :]:
        point = (max(x, lowest), y)
        if points and abs(y - points[-1][1]) < 2e-3 and abs(math.log10(point[0] / points[-1][0])) < 1e-2:
            continue
        points.append(point)
    last = (max(curve[-1][0], lowest), curve[-1][1])
    return points if points[-1] == last else [*points, last]
