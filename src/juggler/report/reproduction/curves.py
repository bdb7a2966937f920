"""Draw Fig. 8, how many times as fast flat is at each depth, and Fig. 9, throughput over the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from juggler.report.kit import units
from juggler.report.kit.svg import WHOLE_PX, draw, quiet
from juggler.report.kit.theme import LIGHT
from juggler.report.reproduction.sheets import batches_note

if TYPE_CHECKING:
    from juggler.reproduce.results import Cell, Comparison, Published, Reproduction

PUBLISHED = LIGHT["fourth"]
COLOURS = {"flat": LIGHT["flat"], "wide": LIGHT["wide"], "plain": LIGHT["third"]}
SHIFTS = {"flat": -0.13, "wide": 0.17}
_Side = Literal["left", "center", "right"]
MAIN = (224, 1)  # the size and batch that the project's own figures are claimed at


@dataclass(frozen=True)
class Band:
    """A published range and the device that it was measured on."""

    device: str
    low: float
    high: float


def fig8_figure(result: Reproduction, name: str) -> str:
    """Draw flat and wide against plain over the depth: one column a backend, one row a size and batch."""
    cases = sorted({case_of(cell) for cell in result.cells}, key=lambda case: (case != MAIN, case))
    backends = list(dict.fromkeys(f.backend for cell in result.cells for f in _against_plain(cell)))
    depths = sorted({cell.case.get("depth", 0) for cell in result.cells})
    band = _band(result.published)
    heights = [250, *(158 for _ in cases[1:])]

    def paint(figure: Figure) -> None:
        shape = (max(1, len(cases)), max(1, len(backends)))
        grid = figure.subplots(
            *shape, sharey="row", squeeze=False, gridspec_kw={"height_ratios": heights[: shape[0]]}
        )
        for axes in grid[-1]:
            axes.set_xlabel("depth")
        for i, case in enumerate(cases):
            cells = [cell for cell in result.cells if case_of(cell) == case]
            highest = band.high if band else 2.0
            for axes, backend in zip(grid[i], backends, strict=False):
                highest = max(highest, _depths_panel(axes, cells, backend, depths, band))
                head = f"{backend}: {case[0]} px, batch {case[1]}"
                axes.set_title(units.shorten(head, 38), loc="left", fontweight="bold", pad=6)
            grid[i][0].set_ylim(0, highest * 1.12)
            grid[i][0].set_ylabel("times as fast as plain")
        if not backends:
            grid[0][0].text(0.5, 0.5, "nothing was run", color=LIGHT["muted"])
        figure.legend(
            handles=_fig8_key(band), loc="outside upper left", ncols=4, handlelength=1.4, borderaxespad=0
        )
        figure.supxlabel(_fig8_note(result.published), x=0.0, ha="left", fontsize=10.5, color=LIGHT["muted"])

    height = sum(heights[: max(1, len(cases))]) + 78
    label = f"{result.title}: how many times as fast as plain, by depth and backend"
    return draw(name, label, (WHOLE_PX, height), paint)


def case_of(cell: Cell) -> tuple[int, int]:
    """Return side in pixels and batch of a cell of Fig. 8."""
    batch = next((row.batch for row in cell.rows), 1)
    return cell.case.get("side_px", 0), cell.case.get("batch", batch)


def _against_plain(cell: Cell) -> list[Comparison]:
    return [f for f in cell.comparisons if f.against == "plain" and f.precision == "float32"]


def _depths_panel(
    axes: Axes, cells: Sequence[Cell], backend: str, depths: Sequence[int], band: Band | None
) -> float:
    """Draw one panel and return how high its marks reach."""
    highest = 0.0
    if band:
        axes.axhspan(band.low, band.high, color=PUBLISHED, alpha=0.13, linewidth=0, zorder=0)
    axes.axhline(1, color=LIGHT["muted"], linewidth=1, zorder=1)
    for cell in cells:
        x = depths.index(cell.case.get("depth", 0))
        plain, flat = cell.shapes.get("plain"), cell.shapes.get("flat")
        if plain and flat and flat.macs:
            ratio = plain.macs / flat.macs
            axes.plot([x - 0.36, x + 0.1], [ratio] * 2, color=LIGHT["ink"], linewidth=2, zorder=2)
            highest = max(highest, ratio)
        for comparison in _against_plain(cell):
            if comparison.backend != backend or comparison.subject not in SHIFTS:
                continue
            at, colour = x + SHIFTS[comparison.subject], COLOURS[comparison.subject]
            axes.plot([at, at], [comparison.low, comparison.high], color=colour, linewidth=2, zorder=3)
            axes.plot([at], [comparison.times], "o", color=colour, markersize=6.5, zorder=4)
            highest = max(highest, comparison.high)
            flat_mark = comparison.subject == "flat"
            _note(
                axes,
                units.decimal(comparison.times, 2),
                (at, comparison.high if flat_mark else comparison.low),
                (0, 4 if flat_mark else -13),
                LIGHT["ink"] if flat_mark else LIGHT["muted"],
            )
    axes.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    axes.set_xlim(-0.55, len(depths) - 0.45)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    quiet(axes, grid="y")
    return highest


def _band(published: Sequence[Published]) -> Band | None:
    """Return the one range that has both ends; devices with an `up to` alone are named in the note."""
    lows = {p.device: p.value for p in published if p.quantity == "times_low"}
    highs = {p.device: p.value for p in published if p.quantity == "times_high"}
    return next((Band(d, low, highs[d]) for d, low in lows.items() if d in highs), None)


def _fig8_key(band: Band | None) -> list[Patch | Line2D]:
    key: list[Patch | Line2D] = [
        Line2D([], [], color=COLOURS["flat"], label="flat, 95 % interval", marker="o", linewidth=2),
        Line2D([], [], color=COLOURS["wide"], label="wide, its own wide form", marker="o", linewidth=2),
        Line2D([], [], color=LIGHT["ink"], linewidth=2, label="ratio of MACs, plain over flat"),
    ]
    if band:
        says = f"published ({band.device}): {band.low:g} to {band.high:g}"
        key.append(Patch(color=PUBLISHED, alpha=0.3, linewidth=0, label=says))
    return key


def _fig8_note(published: Sequence[Published]) -> str:
    lows = {p.device for p in published if p.quantity == "times_low"}
    rest = [p for p in published if p.quantity == "times_high" and p.device not in lows]
    return "published besides: " + "; ".join(f"up to {p.value:g} on {p.device}" for p in rest) if rest else ""


def fig9_figure(result: Reproduction, name: str) -> str:
    """Draw throughput over the batch: one panel a backend, peaks marked, and dips that are beyond doubt."""
    panels = list(
        dict.fromkeys(
            (row.backend, cell.case.get("side_px", 0))
            for cell in result.cells
            for row in cell.rows
            if row.precision == "float32"
        )
    )

    note = batches_note(result)

    def paint(figure: Figure) -> None:
        grid = figure.subplots(1, max(1, len(panels)), squeeze=False)
        for axes, (backend, side) in zip(grid[0], panels, strict=False):
            cells = [cell for cell in result.cells if cell.case.get("side_px", 0) == side]
            _batches_panel(axes, cells, backend)
            head = f"{backend}: {side} px"
            axes.set_title(units.shorten(head, 38), loc="left", fontweight="bold", pad=6)
        grid[0][0].set_ylabel("inputs a second")
        if not panels:
            grid[0][0].text(0.5, 0.5, "nothing was run", color=LIGHT["muted"])
        key = [
            Line2D([], [], color=COLOURS["plain"], linewidth=2, marker="o", markersize=4, label="plain"),
            Line2D([], [], color=COLOURS["flat"], linewidth=2, marker="o", markersize=4, label="flat"),
            Line2D(
                [],
                [],
                color=LIGHT["bad"],
                linewidth=0,
                marker="v",
                label="less at 2ⁿ + 2 than at 2ⁿ, interval below 1",
            ),
        ]
        figure.legend(handles=key, loc="outside upper left", ncols=3, handlelength=1.6, borderaxespad=0)
        figure.supxlabel(note, x=0.0, ha="left", fontsize=10.5, color=LIGHT["muted"])

    label = f"{result.title}: throughput over the batch size, by backend"
    return draw(name, label, (WHOLE_PX, 345 + 15 * note.count("\n")), paint)


def _batches_panel(axes: Axes, cells: Sequence[Cell], backend: str) -> None:
    rows = [r for cell in cells for r in cell.rows if r.backend == backend and r.precision == "float32"]
    rows = [row for row in rows if row.median_ms > 0]
    highest = max((row.throughput_per_s for row in rows), default=1.0)
    peak_offsets = {"flat": (0, 9), "plain": (0, -17)}
    for subject in ("plain", "flat"):
        points = sorted((row.batch, row.throughput_per_s) for row in rows if row.subject == subject)
        if not points:
            continue
        colour = COLOURS[subject]
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=2, marker="o", markersize=4, zorder=3)
        batch, peak = max(points, key=lambda point: point[1])
        axes.plot([batch], [peak], "o", color=colour, markersize=10, zorder=4)
        says = f"peak {units.significant(peak)} at {batch}"
        side: _Side = "right" if len(points) > 1 and batch > points[-1][0] / 4 else "left"
        _note(axes, says, (batch, peak), peak_offsets[subject], colour, side=side)
    marks = {(row.subject, row.batch): row.throughput_per_s for row in rows}
    for dip in (f for cell in cells for f in dips(cell) if f.backend == backend and f.high < 1):
        y = marks.get((dip.subject, dip.batch))
        if y is not None:
            axes.plot([dip.batch], [y], "v", color=LIGHT["bad"], markersize=8, zorder=6)
            _note(axes, f"{(dip.times - 1) * 100:.1f} %", (dip.batch, y), (4, -17), LIGHT["bad"])
    _batch_axis(axes, sorted({row.batch for row in rows}) or [1])
    axes.set_ylim(0, highest * 1.2)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    quiet(axes, grid="y")


def _batch_axis(axes: Axes, batches: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(batches[0] / 1.25, batches[-1] * 1.25)
    powers = [2**n for n in range(batches[-1].bit_length() + 1) if batches[0] <= 2**n <= batches[-1]]
    ticks = powers or list(batches)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("batch")


def _note(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    shift_px: tuple[float, float],
    colour: str,
    *,
    side: _Side = "center",
) -> None:
    """Write beside a mark."""
    axes.annotate(
        text, at, shift_px, textcoords="offset points", ha=side, fontsize=10, color=colour, zorder=6
    )


def dips(cell: Cell) -> list[Comparison]:
    """Return the comparisons of a batch of 2^n + 2 with one of 2^n, in float32."""
    return [
        comparison
        for comparison in cell.comparisons
        if comparison.subject == comparison.against
        and comparison.batch == comparison.against_batch + 2
        and comparison.precision == "float32"
    ]
