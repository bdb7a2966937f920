"""Draw ResPerfNet's figures for a device: errors by epoch, predicted against measured, networks by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from juggler.arrays import Floats
from juggler.report.kit import units
from juggler.report.kit.svg import WHOLE_PX, draw, quiet
from juggler.report.kit.theme import LIGHT

if TYPE_CHECKING:
    from juggler.predict.fit.evidence import NetworkPoint, PhaseEvidence
    from juggler.predict.learning.learner import Epoch
    from juggler.predict.learning.scores import Scores

Histories = Mapping[str, "Sequence[Epoch]"]

_COLOURS = ("flat", "third", "fourth", "op-conv", "op-add")
_DASHES: tuple[float, tuple[float, ...]] = (0, (3, 2))
_SOLID: tuple[float, tuple[float, ...]] = (0, ())
_BAND = 0.10  # drawn about the diagonal
_EDGE = 0.5  # errors beyond are drawn there
_OFF_NOTE = "The band is 10 % to either side; errors beyond 50 % are drawn at the edge."
_FEW_DECADES = 1.6
_FEW_POINTS = 12
_MEASURED, _PREDICTED, _EQ2 = LIGHT["ink"], LIGHT["flat"], LIGHT["third"]


def epochs_figure(histories: Histories, family: str = "conv", name: str = "fig2") -> str:
    """Draw Fig. 2: MAPE and RMSE by epoch, dashed in training and solid on what is held out."""
    colours = {key: LIGHT[_COLOURS[i % len(_COLOURS)]] for i, key in enumerate(histories)}

    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, 2)
        for axes, quantity, unit in zip(panels, ("mape", "rmse_ms"), ("MAPE, %", "RMSE, ms"), strict=True):
            for key, epochs in histories.items():
                x = [epoch.epoch for epoch in epochs]
                for side, style in (("train", _DASHES), ("validation", _SOLID)):
                    y = [getattr(epoch, f"{side}_{quantity}") for epoch in epochs]
                    if None not in y:
                        axes.plot(x, y, color=colours[key], linewidth=1.8, linestyle=style)
            axes.set_yscale("log")
            _decades(axes.yaxis)
            axes.set_xlabel("epoch")
            axes.set_title(unit, loc="left", fontweight="bold", pad=6)
            axes.tick_params(axis="y", labelcolor=LIGHT["muted"])
            quiet(axes, grid="y")
        marks = [Line2D([], [], color=colours[name], linewidth=2, label=name) for name in histories]
        for label, style in (("training", _DASHES), ("held out", _SOLID)):
            marks.append(Line2D([], [], color=LIGHT["muted"], linewidth=2, linestyle=style, label=label))
        figure.legend(handles=marks, loc="outside upper left", ncols=6, handlelength=2, borderaxespad=0)

    label = f"Training and test error of the networks by epoch, execution of {family} kernels"
    return draw(name, label, (WHOLE_PX, 330), paint)


def scatter_figure(phases: Sequence[PhaseEvidence], name: str = "fig4") -> str:
    """Draw Fig. 4: predicted against measured execution, a panel a family."""
    executions = [phase for phase in phases if phase.phase == "exec"]
    panels = [
        (phase.family, np.asarray(phase.measured_ms), np.asarray(phase.predicted_ms), phase.scores)
        for phase in executions
    ]
    return _scatters(panels, name, "Predicted against measured execution of kernels held out, by family")


def networks_figure(points: Sequence[NetworkPoint], scores: Scores, name: str = "networks") -> str:
    """Draw all networks, predicted against measured, with their intervals."""
    measured, predicted = _sides(points)
    whiskers = np.array([(point.low_ms, point.high_ms) for point in points]).T
    title = f"{len({point.network for point in points})} networks"
    label = "Predicted against measured networks"
    return _scatters([(title, measured, predicted, scores)], name, label, whiskers)


def each_network_figure(
    points: Mapping[str, Sequence[NetworkPoint]], scores: Mapping[str, Scores], name: str = "fig5to7"
) -> str:
    """Draw Figs. 5 to 7: predicted against measured over the batches, a panel a network."""
    panels = [
        (network, *_sides(network_points), scores[network]) for network, network_points in points.items()
    ]
    return _scatters(panels, name, "Predicted against measured latency over batch sizes, by network")


def batches_figure(
    points: Mapping[str, Sequence[NetworkPoint]], scores: Mapping[str, Scores], name: str = "fig3"
) -> str:
    """Draw Fig. 3: measured and predicted latency over the batch, a panel a network."""
    rows = -(-len(points) // 3)

    def paint(figure: Figure) -> None:
        grid = figure.subplots(max(1, rows), min(3, max(1, len(points))), squeeze=False).ravel()
        for axes, (network, network_points) in zip(grid, points.items(), strict=False):
            _batches_panel(axes, sorted(network_points, key=lambda point: point.batch))
            said = f"{units.shorten(network, 20)}: MAPE {scores[network].mape:.1f} %"
            axes.set_title(said, loc="left", fontweight="bold", pad=6)
        for axes in grid[len(points) :]:
            axes.set_axis_off()
        key = [
            Line2D([], [], color=_MEASURED, marker="o", linewidth=0, label="measured"),
            Line2D(
                [], [], color=_PREDICTED, marker="o", markersize=4, linewidth=2, label="predicted, interval"
            ),
            Line2D([], [], color=_EQ2, linestyle=_DASHES, linewidth=2, label="the paper's Eq. 2 on the same"),
        ]
        figure.legend(handles=key, loc="outside upper left", ncols=3, handlelength=2, borderaxespad=0)

    label = "Measured and predicted latency of networks over the batch size"
    return draw(name, label, (WHOLE_PX, 285 * max(1, rows) + 45), paint)


def _batches_panel(axes: Axes, points: Sequence[NetworkPoint]) -> None:
    batches = [point.batch for point in points]
    axes.fill_between(
        batches, [point.low_ms for point in points], [point.high_ms for point in points], color=_PREDICTED,
        alpha=0.15, linewidth=0,
    )  # fmt: skip
    eq2 = [(point.batch, point.paper_ms) for point in points if point.paper_ms is not None]
    if eq2:
        axes.plot(*zip(*eq2, strict=True), color=_EQ2, linestyle=_DASHES, linewidth=1.6)
    predicted = [point.predicted_ms for point in points]
    axes.plot(batches, predicted, color=_PREDICTED, linewidth=2, marker="o", markersize=4, zorder=3)
    axes.plot(batches, [point.measured_ms for point in points], "o", color=_MEASURED, markersize=6, zorder=2)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    _decades(axes.yaxis)
    axes.xaxis.set_major_locator(FixedLocator(batches))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("batch")
    axes.set_ylabel("a call, ms")
    axes.tick_params(axis="y", labelcolor=LIGHT["muted"])
    quiet(axes, grid="y")


def _scatters(
    panels: Sequence[tuple[str, Floats, Floats, Scores]],
    name: str,
    label: str,
    whiskers: Floats | None = None,
) -> str:
    """Draw predicted against measured on two log axes, a panel each, and how far off below or beside it.

    On log axes over decades 10 % are a hair: the second panel has them.
    """
    alone, across = len(panels) == 1, max(1, len(panels))
    size_px = (WHOLE_PX, 400) if alone else (WHOLE_PX, 470)

    def paint(figure: Figure) -> None:
        if alone:
            grid = figure.subplots(1, 2, squeeze=False, gridspec_kw={"width_ratios": (1, 1.4)}).T
        else:
            grid = figure.subplots(2, across, squeeze=False, gridspec_kw={"height_ratios": (1.5, 1)})
        for column, (title, measured, predicted, scores) in enumerate(panels):
            _scatter(grid[0][column], measured, predicted)
            head = f"{units.shorten(title, 18)}: R² {scores.r_squared:.3f}, MAPE {scores.mape:.1f} %"
            grid[0][column].set_title(head, loc="left", fontweight="bold", pad=6, fontsize=11)
            _off(grid[1][column], measured, predicted, whiskers)
        if panels:
            grid[0][0].set_ylabel("predicted, ms")
            grid[1][0].set_ylabel("off, %")
        figure.supxlabel(_OFF_NOTE, x=0.0, ha="left", fontsize=10.5, color=LIGHT["muted"])

    return draw(name, label, size_px, paint)


def _off(axes: Axes, measured: Floats, predicted: Floats, whiskers: Floats | None) -> None:
    """Draw how far predictions are off, in percent of what was measured."""
    limit = 100.0 * _EDGE
    axes.axhspan(-100.0 * _BAND, 100.0 * _BAND, color=LIGHT["wide"], alpha=0.22, linewidth=0)
    axes.axhline(0, color=LIGHT["wide"], linewidth=1)
    if whiskers is not None:
        ends = np.clip(100.0 * (whiskers / measured - 1.0), -limit, limit)
        axes.vlines(measured, *ends, color=_PREDICTED, linewidth=1.2, alpha=0.5)
    off = 100.0 * (predicted / measured - 1.0)
    size, alpha = _mark(len(measured))
    clipped = np.clip(off, -limit, limit)
    axes.plot(measured, clipped, "o", color=_PREDICTED, markersize=size, alpha=alpha, markeredgewidth=0)
    axes.set_xscale("log")
    axes.set_xlim(float(measured.min()) / 1.6, float(measured.max()) * 1.6)
    axes.set_ylim(-1.08 * limit, 1.08 * limit)
    _decades(axes.xaxis)
    axes.yaxis.set_major_locator(FixedLocator([-limit, -limit / 2, 0, limit / 2, limit]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.0f}" if value else "0"))
    axes.tick_params(axis="y", labelcolor=LIGHT["muted"])
    axes.set_xlabel("measured, ms")
    quiet(axes, grid="y")


def _mark(points: int) -> tuple[float, float]:
    """Return size and opacity of so many points."""
    return (7, 0.9) if points <= _FEW_POINTS else (4, 0.55)


def _scatter(axes: Axes, measured: Floats, predicted: Floats) -> None:
    both = np.concatenate([measured, predicted])
    low, high = float(both.min()) / 1.6, float(both.max()) * 1.6
    ends = np.array([low, high])
    axes.fill_between(
        ends, ends * (1.0 - _BAND), ends * (1.0 + _BAND), color=LIGHT["wide"], alpha=0.22, linewidth=0
    )
    axes.plot(ends, ends, color=LIGHT["wide"], linewidth=1)
    size, alpha = _mark(len(measured))
    axes.plot(measured, predicted, "o", color=_PREDICTED, markersize=size, alpha=alpha, markeredgewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    for axis in (axes.xaxis, axes.yaxis):
        _decades(axis)
    axes.tick_params(axis="y", labelcolor=LIGHT["muted"])
    axes.set_xlabel("measured, ms")
    quiet(axes, grid="y")
    axes.grid(axis="x", linewidth=1)


def _decades(axis: Axis) -> None:
    """Label a log axis with plain numbers: a few powers of ten, or 1, 2 and 5 where it spans hardly any."""
    low, high = axis.get_view_interval()
    spans = float(np.log10(high / low))
    axis.set_major_locator(LogLocator(subs=(1.0,) if spans > _FEW_DECADES else (1.0, 2.0, 5.0), numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _sides(points: Sequence[NetworkPoint]) -> tuple[Floats, Floats]:
    return np.array([point.measured_ms for point in points]), np.array(
        [point.predicted_ms for point in points]
    )
