"""Draw the paper's tables and figures as this machine measured them, published values beside and labelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from juggler.errors import ConfigError
from juggler.report.kit import units
from juggler.report.kit.svg import WHOLE_PX, draw, quiet
from juggler.report.kit.theme import LIGHT
from juggler.report.reproduction.curves import fig8_figure, fig9_figure

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
