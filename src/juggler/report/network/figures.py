"""Draw how fast and how exact a network is: latencies, and the errors of a certificate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from juggler.nouns import Certificate, Check, Timing
from juggler.report.kit import units
from juggler.report.kit.svg import HALF_PX, WHOLE_PX, draw, quiet
from juggler.report.kit.theme import LIGHT, subject_colours
from juggler.report.network.sheets import step_name

if TYPE_CHECKING:
    from juggler.runtime.measure.attribution import Attribution, Step


def latency_figure(timings: Sequence[Timing], name: str = "latency") -> str:
    """Draw the median latency with a whisker to the 99th percentile: one panel a batch size, in ms."""
    batches = sorted({t.batch for t in timings})
    backends = list(dict.fromkeys(t.backend for t in timings))
    subjects = list(dict.fromkeys(t.subject for t in timings))
    columns = min(3, len(batches))
    rows = math.ceil(len(batches) / columns)
    panel_px = len(backends) * (len(subjects) * 19 + 14) + 58

    def paint(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for place, panel in enumerate(grid.flat):
            if place >= len(batches):
                panel.set_visible(False)
                continue
            here = [t for t in timings if t.batch == batches[place]]
            _latency_panel(panel, here, backends, subjects)
            panel.set_title(f"batch {batches[place]}", loc="left", fontweight="bold", pad=6)
        colours = subject_colours(subjects)
        handles = [Rectangle((0, 0), 1, 1, facecolor=colours[s]) for s in subjects]
        names = [units.shorten(s, 40) for s in subjects]
        figure.legend(
            handles, names, loc="outside upper left", ncols=len(subjects), handlelength=1.0, borderaxespad=0
        )

    label = "Median latency and 99th percentile in milliseconds, by backend and batch size"
    return draw(name, label, (WHOLE_PX, rows * panel_px + 26), paint)


def _latency_panel(
    axes: Axes, timings: Sequence[Timing], backends: Sequence[str], subjects: Sequence[str]
) -> None:
    colours = subject_colours(subjects)
    pitch = len(subjects) + 0.7
    reach = max((t.p99_ms for t in timings if not units.missing(t.p99_ms)), default=1.0) or 1.0
    for timing in timings:
        if units.missing(timing.median_ms):
            continue
        y = backends.index(timing.backend) * pitch + subjects.index(timing.subject)
        axes.barh(y, timing.median_ms, height=0.78, color=colours[timing.subject])
        end = timing.median_ms
        if not units.missing(timing.p99_ms):
            end = max(end, timing.p99_ms)
            axes.plot([timing.median_ms, end], [y, y], color=LIGHT["ink"], linewidth=1.2)
            axes.plot([end, end], [y - 0.2, y + 0.2], color=LIGHT["ink"], linewidth=1.2)
        axes.text(end + reach * 0.02, y, units.significant(timing.median_ms), va="center", fontsize=10.5)
    axes.set_yticks(
        [i * pitch + (len(subjects) - 1) / 2 for i in range(len(backends))],
        [units.shorten(b, 24) for b in backends],
    )
    axes.set_ylim((len(backends) - 1) * pitch + len(subjects) - 0.4, -0.6)
    axes.set_xlim(0, reach * 1.2)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("milliseconds a call")
    quiet(axes, grid="x")


# Each error has its shape and its own height within the row, for the three are often nearly equal.
_MARKS = (("inside", "o", -0.24), ("border", "D", 0.0), ("output", "^", 0.24))


def certificate_figure(certificate: Certificate, name: str = "certificate") -> str:
    """Draw each check's errors as dots on a log axis, against the line of its limit."""
    checks = sorted(certificate.checks, key=lambda c: (certificate.limits.get(c.dtype, 0.0), c.weights))
    errors = [e for c in checks for e in (c.inside, c.border, c.output) if e and not units.missing(e)]
    lines = [line for line in certificate.limits.values() if line > 0]
    low = math.floor(math.log10(min([*errors, *lines, 1e-17]))) - 1
    high = max(math.ceil(math.log10(max([*errors, *lines, 1e-5]))), -4)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for y, check in enumerate(checks):
            _certificate_row(axes, y, check, certificate.limits.get(check.dtype), 10.0**low)
        axes.set_xscale("log")
        axes.set_xlim(10.0 ** (low - 0.3), 10.0**high)
        axes.set_ylim(len(checks) - 0.4, -0.6)
        ticks = [low, *range(low + 2, high + 1, 2)]
        axes.xaxis.set_major_locator(FixedLocator([10.0**t for t in ticks]))
        axes.set_xticklabels(["0", *(units.power_of_ten(t) for t in ticks[1:])])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_yticks(
            range(len(checks)), [f"{c.weights}, {units.shape(c.shape)}, {c.dtype}" for c in checks]
        )
        axes.set_xlabel("max|difference| / max|reference|; the bar is the limit")
        quiet(axes, grid="x")
        for mark, shape, _ in _MARKS:
            axes.plot([], [], shape, color=LIGHT["flat"], markersize=5.5, label=mark)
        figure.legend(loc="outside upper left", ncols=3, handletextpad=0.2, borderaxespad=0)

    label = "Errors of the flat network against the wide one, and the limit of each check"
    return draw(name, label, (HALF_PX, 27 * len(checks) + 76), paint)


def _certificate_row(axes: Axes, y: int, check: Check, limit: float | None, zero: float) -> None:
    """Draw one check; an error of exactly 0 has no logarithm and stands at the left edge, hollow."""
    for mark, shape, shift in _MARKS:
        value: float | None = getattr(check, mark)
        if value is None or units.missing(value):
            continue
        bad = limit is None or value > limit
        colour = LIGHT["bad"] if bad else LIGHT["flat"]
        face = "none" if value == 0 else colour
        axes.plot(
            [value or zero],
            [y + shift],
            shape,
            color=colour,
            markerfacecolor=face,
            markersize=5.5,
            alpha=0.85,
            zorder=3,
        )
    if limit:
        axes.plot(
            [limit, limit],
            [y - 0.5, y + 0.5],
            color=LIGHT["ink"],
            linewidth=2,
            zorder=2,
            solid_capstyle="butt",
        )


FORM_COLOURS = {"original": LIGHT["wide"], "flat": LIGHT["flat"]}
STEP_NAMES = {"eager": "eager torch", "runtime": "runtime, float32"}
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
        handles = [Rectangle((0, 0), 1, 1, facecolor=FORM_COLOURS[form]) for form in FORM_COLOURS]
        figure.legend(
            handles, list(FORM_COLOURS), loc="outside upper left", ncols=2, handlelength=1.0, borderaxespad=0
        )

    label = "Median latency in milliseconds of the original and the flat form: eager, on the runtime, in int8"
    height = max(1, len(kinds)) * BAR_PX * (2 + GAP) + 96
    return draw(name, label, (WHOLE_PX, height), paint)


def _panel(axes: Axes, steps: list[Step], kinds: list[str]) -> None:
    pitch = 2 + GAP
    reach = max((step.timing.median_ms for step in steps), default=1.0) or 1.0
    for step in steps:
        y = kinds.index(step_name(step)) * pitch + (step.form == "flat")
        axes.barh(y, step.timing.median_ms, height=0.82, color=FORM_COLOURS.get(step.form, LIGHT["third"]))
        added = f"  ×{units.decimal(step.added.median, 2)}" if step.added else ""
        text = f"{units.significant(step.timing.median_ms)}{added}"
        axes.text(step.timing.median_ms + reach * 0.015, y, text, va="center", fontsize=10.5)
    axes.set_yticks(
        [i * pitch + 0.5 for i in range(len(kinds))], [STEP_NAMES.get(kind, kind) for kind in kinds]
    )
    axes.set_ylim((len(kinds) - 1) * pitch + 1.6, -0.6)
    axes.set_xlim(0, reach * 1.3)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("milliseconds a call; × is what the step adds")
    quiet(axes, grid="x")
