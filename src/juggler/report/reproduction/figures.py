"""Draw the paper's tables and figures as this machine measured them, published values beside and labelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from juggler.errors import ConfigError
from juggler.report.kit import units
from juggler.report.kit.svg import WHOLE_PX, draw, quiet
from juggler.report.kit.theme import LIGHT
from juggler.report.reproduction.sheets import batches_note

if TYPE_CHECKING:
    from juggler.reproduce.results import Cell, Comparison, Published, Reproduction


MERGED = " merged"
MEASURED, PUBLISHED = LIGHT["op-conv"], LIGHT["fourth"]


def reproduction_figure(result: Reproduction, name: str = "") -> str:
    """Draw one experiment, such as a table of the paper, as SVG; what was not run is left out or said.

    Args:
        result: what was measured, and what the paper says.
        name: prefix of the SVG's identifiers; the experiment's name by default.

    Raises:
        ConfigError: there is no picture of such an experiment.
    """
    painters: dict[str, Callable[[Reproduction, str], str]] = {
        "table2": _table2,
        "table3": _table3,
        "layers": _table2,
        "merge_penalty": _merge_penalty,
        "fig8": fig8_figure,
        "fig9": fig9_figure,
    }
    if result.experiment not in painters:
        raise ConfigError(f"draw {result.experiment}", "no such picture", f"There is {', '.join(painters)}")
    return painters[result.experiment](result, name or result.experiment)


@dataclass(frozen=True)
class _Bars:
    """One panel of horizontal bars: a value and a ceiling for each label, none where it was not run."""

    title: str
    values: Mapping[str, float]
    ceilings: Mapping[str, float]
    colour: str


def _table2(result: Reproduction, name: str) -> str:
    labels = list(dict.fromkeys(row.subject for cell in result.cells for row in cell.rows))
    published = {p.subject: p.value for p in result.published if p.quantity == "gmac_per_s"}
    labels += [subject for subject in published if subject not in labels]
    panels = _measured_bars(result, lambda cell, subject: subject)
    return _bars_figure(result, name, labels, [*panels, *_published_bars(published)])


def _table3(result: Reproduction, name: str) -> str:
    published = {_convolution(p.case): p.value for p in result.published if p.quantity == "gmac_per_s"}
    cases = [cell.case for cell in result.cells]
    cases += [p.case for p in result.published if p.quantity == "gmac_per_s"]
    ordered = sorted(cases, key=lambda case: (case.get("kernel", 0), case.get("channels", 0)))
    labels = list(dict.fromkeys(map(_convolution, ordered)))
    panels = _measured_bars(result, lambda cell, subject: _convolution(cell.case))
    return _bars_figure(result, name, labels, [*panels, *_published_bars(published)])


def _convolution(case: Mapping[str, int]) -> str:
    kernel = case.get("kernel", 0)
    return f"{kernel}×{kernel}, {case.get('channels', 0)}"


def _measured_bars(result: Reproduction, label: Callable[[Cell, str], str]) -> list[_Bars]:
    """Return a panel for each backend and batch; ceilings are GFLOP/s, two a multiply-accumulate."""
    shares: dict[tuple[str, int], tuple[dict[str, float], dict[str, float]]] = {}
    for cell in result.cells:
        ceiling = cell.ceilings.get("float32")
        for row in cell.rows:
            if row.precision != "float32" or units.missing(row.gmac_per_s):
                continue
            values, ceilings = shares.setdefault((row.backend, row.batch), ({}, {}))
            values[label(cell, row.subject)] = row.gmac_per_s
            if ceiling is not None and not units.missing(ceiling):
                ceilings[label(cell, row.subject)] = ceiling / 2
    batches = {batch for _, batch in shares}
    return [
        _Bars(backend if len(batches) == 1 else f"{backend}, batch {batch}", values, ceilings, MEASURED)
        for (backend, batch), (values, ceilings) in shares.items()
    ]


def _published_bars(values: Mapping[str, float]) -> list[_Bars]:
    return [_Bars("published", values, {}, PUBLISHED)] if values else []


def _bars_figure(result: Reproduction, name: str, labels: Sequence[str], panels: Sequence[_Bars]) -> str:
    def paint(figure: Figure) -> None:
        grid = figure.subplots(1, max(1, len(panels)), sharey=True, squeeze=False)
        if not panels:
            _say_nothing(grid[0][0])
        for axes, panel in zip(grid.flat, panels, strict=False):
            _bars_panel(axes, panel, labels)
        handles: list[Patch | Line2D] = [Patch(color=MEASURED, label=f"measured, {_batches(result)}")]
        if any(panel.ceilings for panel in panels):
            what = "ceiling: a matrix product in the same race"
            handles.append(Line2D([], [], color=LIGHT["ink"], linewidth=2, label=what))
        if panels and panels[-1].colour == PUBLISHED:
            handles.append(Patch(color=PUBLISHED, label=f"published ({_devices(result)}), on its own scale"))
        figure.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=1.0, borderaxespad=0)

    height = 25 * max(1, len(labels)) + 92
    return draw(name, f"{result.title}: GMAC/s by backend", (WHOLE_PX, height), paint)


def _bars_panel(axes: Axes, panel: _Bars, labels: Sequence[str]) -> None:
    reach = max([*panel.values.values(), *panel.ceilings.values()], default=1.0) or 1.0
    for y, label in enumerate(labels):
        value = panel.values.get(label)
        if value is None:
            axes.text(reach * 0.02, y, "not run", va="center", fontsize=10, color=LIGHT["muted"])
            continue
        ceiling = panel.ceilings.get(label)
        axes.barh(y, value, height=0.72, color=panel.colour)
        inside = value > 0.3 * reach  # at the foot of a long bar, away from the ceiling's line
        axes.annotate(
            units.significant(value),
            (0 if inside else value, y),
            (5, 0),
            textcoords="offset points",
            va="center",
            color=LIGHT["on-flat"] if inside else LIGHT["ink"],
            fontsize=10.5,
        )
        if ceiling is not None:
            axes.plot([ceiling] * 2, [y - 0.5, y + 0.5], color=LIGHT["ink"], linewidth=2, zorder=3)
    axes.set_yticks(range(len(labels)), [units.shorten(label, 44) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, reach * 1.06)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_xlabel("GMAC/s")
    axes.set_title(units.shorten(panel.title, 26), loc="left", fontweight="bold", pad=6)
    quiet(axes, grid="x")


def _devices(result: Reproduction) -> str:
    return "; ".join(dict.fromkeys(p.device for p in result.published if p.quantity == "gmac_per_s"))


def _batches(result: Reproduction) -> str:
    batches = sorted({row.batch for cell in result.cells for row in cell.rows})
    return f"batch {', '.join(map(str, batches))}" if batches else "nothing yet"


def _say_nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "nothing was run", ha="center", va="center", color=LIGHT["muted"])
    axes.set_xticks([])
    axes.set_yticks([])
    quiet(axes)


def _merge_penalty(result: Reproduction, name: str) -> str:
    """Draw the latency of the merged block over that of the block, one row a block and backend."""
    rows = [
        (cell, comparison)
        for cell in result.cells
        for comparison in cell.comparisons
        if comparison.subject == comparison.against + MERGED and comparison.precision == "float32"
    ]
    low, high = (_value(result.published, f"latency_penalty_{end}") for end in ("low", "high"))
    names = [f"{comparison.against}, {comparison.backend}" for _, comparison in rows]

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(1, color=LIGHT["ink"], linewidth=1.2)
        if low is not None and high is not None:
            axes.axvspan(1 + low, 1 + high, color=PUBLISHED, alpha=0.22, linewidth=0)
            says = f"published (NVIDIA V100): {units.percent(low)} to {units.percent(high)} % slower"
            figure.legend(handles=[Patch(color=PUBLISHED, alpha=0.4, label=says)], loc="outside upper left")
        for y, (cell, comparison) in enumerate(rows):
            _penalty_row(axes, y, cell, comparison, result.published)
        if not rows:
            _say_nothing(axes)
        axes.set_yticks(range(len(names)), [units.shorten(n, 34) for n in names])
        axes.set_ylim(max(1, len(rows)) - 0.4, -0.6)
        left = min([0.9, *(0.95 / f.high for _, f in rows)])
        right = max([1.3, *(1 / f.low for _, f in rows if f.low > 0)])
        axes.set_xlim(left, left + (right - left) * 1.6)  # room for the words behind the marks
        axes.xaxis.set_major_locator(MaxNLocator(7))
        axes.set_xlabel("latency of the merged block over that of the block (1 = as fast), 95 % interval")
        quiet(axes, grid="x")

    height = 30 * max(1, len(rows)) + 88
    return draw(name, f"{result.title}: latency ratios and the published range", (WHOLE_PX, height), paint)


def _penalty_row(
    axes: Axes, y: int, cell: Cell, comparison: Comparison, published: Sequence[Published]
) -> None:
    ratio, low, high = 1 / comparison.times, 1 / comparison.high, 1 / comparison.low
    axes.plot([low, high], [y, y], color=LIGHT["flat"], linewidth=2)
    axes.plot([ratio], [y], "o", color=LIGHT["flat"], markersize=8)
    text = f"{ratio:.2f} ({low:.2f} to {high:.2f})"
    before, after = cell.shapes.get(comparison.against), cell.shapes.get(comparison.subject)
    if before and after:
        text += f"   parameters ×{after.parameters / before.parameters:.2f}"
        said = _value(published, "parameter_ratio", comparison.against)
        text += f" (published ×{said:.2f})" if said is not None else ""
    axes.annotate(text, (high, y), (8, 0), textcoords="offset points", va="center", fontsize=10.5)


def _value(published: Sequence[Published], quantity: str, subject: str = "") -> float | None:
    """Return a published value; of a merged block, under its own name or that of the block."""
    names = {subject, subject + MERGED}
    return next(
        (p.value for p in published if p.quantity == quantity and (not subject or p.subject in names)), None
    )


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
