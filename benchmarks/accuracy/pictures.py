"""The pictures of the page: Fig. 7 by epoch, accuracy against latency, and the ablation, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import offset_copy

from benchmarks.accuracy.tables import Values, gap_of, latency_of, variant_of
from juggler.report.kit.svg import WHOLE_PX, draw, quiet
from juggler.report.kit.theme import LIGHT

PANELS = (
    ("accuracy_train", "accuracy on training pictures, %"),
    ("accuracy_validation", "accuracy on validation pictures, %"),
    ("gap", "training minus validation, points"),
    ("loss_train", "loss on training pictures"),
    ("loss_validation", "loss on validation pictures"),
)
LINES: dict[str, tuple[str, Literal["-", "--", "-."]]] = {
    "resnet": (LIGHT["wide"], "-"),
    "resnet_minus": (LIGHT["third"], "--"),
    "juggler_paper": (LIGHT["fourth"], "-."),
    "juggler": (LIGHT["flat"], "-"),
}
FAMILIES = {  # by the beginning of a variant's name, the longest first: what it is called, colour, mark
    "juggler": ("Juggler-ResNet", LIGHT["flat"], "o"),
    "resnet_thin": ("ResNet, thinned", LIGHT["third"], "D"),
    "resnet": ("ResNet", LIGHT["wide"], "o"),
    "repvgg": ("RepVGG-style", LIGHT["fourth"], "s"),
    "plain": ("plain stack", LIGHT["op-add"], "^"),
}


def drawn(study: Values, front: Values | None) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield each picture's name and what paints it as SVG."""
    notes = "; ".join(study["notes"])
    for depth in study["scale"]["depths"]:
        curves = {
            name: study["curves"][f"{name}-{depth}"] for name in LINES if f"{name}-{depth}" in study["curves"]
        }
        if curves:
            labels = {name: _label(study, name, depth) for name in curves}
            yield f"fig7-{depth}", partial(curves_figure, curves, labels, depth, notes)
        bars = ablation_bars(study, depth)
        if bars:
            yield f"ablation-{depth}", partial(ablation_figure, bars, depth, notes)
    if front is not None and front_points(study, front):
        yield "front", partial(front_figure, front_points(study, front), front, notes)


def _label(study: Values, name: str, depth: int) -> str:
    one = variant_of(study, name, depth)
    return str(one["label"]) if one else name


def curves_figure(curves: Values, labels: Mapping[str, str], depth: int, notes: str) -> str:
    """Draw accuracy, loss and their gap over the epochs: the mean of the seeds in a band of one sd."""

    def paint(figure: Figure) -> None:
        grid = list(figure.subplots(2, 3, squeeze=False).flat)
        for axes, (key, title) in zip(grid, PANELS, strict=False):
            for variant, curve in curves.items():
                _curve(axes, curve[key], *LINES[variant], scale=1.0 if key.startswith("loss") else 100.0)
            axes.set_title(title, loc="left", fontweight="bold", pad=6)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(5))
            quiet(axes, grid="y")
        grid[-1].axis("off")
        _say(figure, notes)
        handles = [
            Line2D(
                [],
                [],
                color=LINES[v][0],
                linestyle=LINES[v][1],
                linewidth=2,
                label=f"{labels[v]} (n={c['n']})",
            )
            for v, c in curves.items()
        ]
        grid[-1].legend(handles=handles, loc="upper left", borderaxespad=0, handlelength=2.4)

    label = (
        f"Accuracy and loss by epoch at depth {depth}, and the gap between training and validation accuracy"
    )
    return draw(f"fig7-{depth}", label, (WHOLE_PX, 540), paint)


def _say(figure: Figure, notes: str) -> None:
    """Write below a picture what must stand beside its numbers."""
    if notes:
        figure.supxlabel(notes, x=0.0, ha="left", fontsize=10.5, color=LIGHT["muted"])


def _curve(axes: Axes, curve: Values, colour: str, style: str, *, scale: float) -> None:
    epochs = range(1, len(curve["mean"]) + 1)
    mean = [scale * value for value in curve["mean"]]
    sd = [scale * value for value in curve["sd"]]
    low = [m - s for m, s in zip(mean, sd, strict=True)]
    high = [m + s for m, s in zip(mean, sd, strict=True)]
    axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(epochs, mean, color=colour, linestyle=style, linewidth=2, marker="." if len(mean) < 3 else "")


def front_points(study: Values, front: Values) -> list[dict[str, Any]]:
    """Return latency and accuracy of every network of the front, in per cent."""
    points = []
    for one in study["variants"]:
        place = latency_of(front, one["variant"], one["depth"])
        if "front" not in one["groups"] or place is None or "test_accuracy" not in one:
            continue
        spread = one["flat_test_accuracy"]
        points.append(
            {
                **{"variant": one["variant"], "label": one["label"], "levers": bool(one["levers"])},
                **{"latency_ms": place["latency_ms"], "accuracy": 100 * spread["mean"]},
                "sd": 100 * (spread["sd"] or 0.0),
            }
        )
    return points


def best_of(points: Sequence[Values]) -> list[Values]:
    """Return the points that none other beats in both, the fastest first."""
    found: list[Values] = []
    for one in sorted(points, key=lambda p: (p["latency_ms"], -p["accuracy"])):
        if not found or one["accuracy"] > found[-1]["accuracy"]:
            found.append(one)
    return found


def front_figure(points: Sequence[Values], front: Values, notes: str) -> str:
    """Draw test accuracy against latency, and the front as a line."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        line = best_of(points)
        axes.step(
            [p["latency_ms"] for p in line],
            [p["accuracy"] for p in line],
            where="post",
            color=LIGHT["muted"],
            linewidth=1.2,
            linestyle=(0, (3, 3)),
        )
        seen = sorted({_family(point["variant"]) for point in points}, key=list(FAMILIES).index)
        for point in points:
            _front_mark(axes, point, _place(point, points))
        handles = [
            Line2D([], [], color=FAMILIES[f][1], marker=FAMILIES[f][2], linestyle="", label=FAMILIES[f][0])
            for f in seen
        ]
        what = "filled: with levers; bars: one sd over the seeds"
        handles.append(
            Line2D([], [], color=LIGHT["muted"], linestyle=(0, (3, 3)), label=f"the front ({what})")
        )
        figure.legend(handles=handles, loc="outside upper left", ncols=6, handlelength=1.4, borderaxespad=0)
        axes.set_xlabel(
            f"latency, ms ({front['backend']}, batch {front['batch']}, {front['side_px']} px), median"
        )
        axes.set_ylabel("test accuracy, %")
        axes.set_xlim(0, 1.12 * max(point["latency_ms"] for point in points))  # room for words
        low, high = (f(p["accuracy"] + s * p["sd"] for p in points) for f, s in ((min, -1), (max, 1)))
        axes.set_ylim(low - 0.08 * (high - low) - 0.1, high + 0.08 * (high - low) + 0.1)
        quiet(axes, grid="y")
        _say(figure, notes)

    return draw("front", "Test accuracy against latency of all networks, flat", (WHOLE_PX, 460), paint)


def _place(point: Values, points: Sequence[Values]) -> float:
    """Return where a network stands beside other families that are as fast, in steps from the middle."""
    near = [p for p in points if abs(p["latency_ms"] / point["latency_ms"] - 1) < 0.02]
    families = sorted({_family(p["variant"]) for p in near}, key=list(FAMILIES).index)
    return families.index(_family(point["variant"])) - (len(families) - 1) / 2


def _front_mark(axes: Axes, point: Values, place: float) -> None:
    """Draw one network; those of several families that are equally fast stand side by side."""
    _, colour, mark = FAMILIES[_family(point["variant"])]
    figure = axes.get_figure()
    beside = offset_copy(axes.transData, fig=figure, x=10 * place, y=0, units="points")  # type: ignore[arg-type]
    x, y = point["latency_ms"], point["accuracy"]
    axes.plot([x, x], [y - point["sd"], y + point["sd"]], color=colour, linewidth=1.6, transform=beside)
    face = colour if point["levers"] else LIGHT["card"]
    axes.plot([x], [y], mark, color=colour, markerfacecolor=face, markersize=8, zorder=3, transform=beside)
    if point["variant"].startswith("juggler"):
        words = point["label"].partition(", ")[2]
        after = words.endswith("widened")  # before it there are networks that are faster
        axes.annotate(
            words,
            (x, y),
            (10 * place + (9 if after else -9), 10 if after else 0),
            textcoords="offset points",
            ha="left" if after else "right",
            va="center",
            fontsize=10,
        )


def _family(variant: str) -> str:
    return next(name for name in FAMILIES if variant.startswith(name))


def ablation_bars(study: Values, depth: int) -> list[tuple[str, Values | None, Values | None]]:
    """Return the gap that each lever alone makes, and the one that the winner without it has."""
    found = [
        (
            str(lever["label"]),
            gap_of(study, f"with_{name}", "juggler_paper", depth),
            gap_of(study, f"without_{name}", "juggler", depth),
        )
        for name, lever in study["levers"].items()
    ]
    return [one for one in found if one[1] or one[2]]


def ablation_figure(bars: Sequence[tuple[str, Values | None, Values | None]], depth: int, notes: str) -> str:
    """Draw what each lever does, in points of test accuracy with 95 % intervals."""
    sides: tuple[tuple[str, Callable[[Any], Values | None]], ...] = (
        ("the paper's network with it alone", lambda bar: bar[1]),
        ("all levers without it", lambda bar: bar[2]),
    )

    def paint(figure: Figure) -> None:
        for axes, (title, side) in zip(figure.subplots(1, 2, sharey=True), sides, strict=True):
            axes.axvline(0, color=LIGHT["ink"], linewidth=1.2)
            for y, bar in enumerate(bars):
                gap = side(bar)
                if gap is None:
                    axes.text(0, y, "  not run", va="center", fontsize=10, color=LIGHT["muted"])
                    continue
                colour = LIGHT["flat"] if gap["mean"] >= 0 else LIGHT["third"]
                if gap["low"] is not None:
                    axes.plot([gap["low"], gap["high"]], [y, y], color=colour, linewidth=2)
                axes.plot([gap["mean"]], [y], "o", color=colour, markersize=7)
            axes.set_yticks(range(len(bars)), [bar[0] for bar in bars])
            axes.set_ylim(len(bars) - 0.4, -0.6)
            axes.set_title(title, loc="left", fontweight="bold", pad=6)
            axes.set_xlabel(f"points of test accuracy, 95 % interval, depth {depth}")
            axes.xaxis.set_major_locator(MaxNLocator(6))
            quiet(axes, grid="x")
        _say(figure, notes)

    label = f"What each lever does at depth {depth}, alone and when it is taken away"
    return draw(f"ablation-{depth}", label, (WHOLE_PX, 30 * len(bars) + 108), paint)
