"""Draw where a network's speed comes from: one bar a step, the original's path beside the flat form's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from juggler.report.kit import units
from juggler.report.kit.svg import WHOLE_PX, draw, quiet
from juggler.report.kit.theme import LIGHT
from juggler.report.network.attribution import step_name

if TYPE_CHECKING:
    from juggler.runtime.measure.attribution import Attribution, Step

COLOURS = {"original": LIGHT["wide"], "flat": LIGHT["flat"]}
NAMES = {"eager": "eager torch", "runtime": "runtime, float32"}
BAR_PX, GAP = 20, 0.7


def attribution_figure(attribution: Attribution, name: str = "attribution") -> str:
    """Draw the median latency of each step in ms, one panel a runtime; what each step adds stands beside."""
    runtimes = attribution.runtimes
    kinds = list(dict.fromkeys(step_name(step) for step in attribution.steps))

    def paint(figure: Figure) -> None:
        grid = figure.subplots(1, max(1, len(runtimes)), sharey=True, squeeze=False)
        for axes, runtime in zip(grid[0], runtimes, strict=False):
            _panel(axes, [step for step in attribution.steps if step.runtime == runtime], kinds)
            axes.set_title(units.shorten(runtime, 30), loc="left", fontweight="bold", pad=6)
        handles = [Rectangle((0, 0), 1, 1, facecolor=COLOURS[form]) for form in COLOURS]
        figure.legend(
            handles, list(COLOURS), loc="outside upper left", ncols=2, handlelength=1.0, borderaxespad=0
        )

    label = "Median latency in milliseconds of the original and the flat form: eager, on the runtime, in int8"
    height = max(1, len(kinds)) * BAR_PX * (2 + GAP) + 96
    return draw(name, label, (WHOLE_PX, height), paint)


def _panel(axes: Axes, steps: list[Step], kinds: list[str]) -> None:
    pitch = 2 + GAP
    reach = max((step.timing.median_ms for step in steps), default=1.0) or 1.0
    for step in steps:
        y = kinds.index(step_name(step)) * pitch + (step.form == "flat")
        axes.barh(y, step.timing.median_ms, height=0.82, color=COLOURS.get(step.form, LIGHT["third"]))
        added = f"  ×{units.decimal(step.added.median, 2)}" if step.added else ""
        text = f"{units.significant(step.timing.median_ms)}{added}"
        axes.text(step.timing.median_ms + reach * 0.015, y, text, va="center", fontsize=10.5)
    axes.set_yticks([i * pitch + 0.5 for i in range(len(kinds))], [NAMES.get(kind, kind) for kind in kinds])
    axes.set_ylim((len(kinds) - 1) * pitch + 1.6, -0.6)
    axes.set_xlim(0, reach * 1.3)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("milliseconds a call; × is what the step adds")
    quiet(axes, grid="x")
