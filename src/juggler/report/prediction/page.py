"""Write what is known of a predictor as ResPerfNet's tables and figures: CSV, SVG and one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from juggler.files import write_atomically
from juggler.report.kit import units
from juggler.report.kit.page import Drawing, Page, Section, write_page
from juggler.report.kit.sheet import Sheet
from juggler.report.kit.svg import standalone
from juggler.report.network.sheets import machine_sheet
from juggler.report.prediction import figures, sheets

if TYPE_CHECKING:
    from juggler.nouns import Machine
    from juggler.predict.fit.comparison import Comparison
    from juggler.predict.fit.evidence import NetworkPoint, PhaseEvidence
    from juggler.predict.fit.report import FitReport
    from juggler.predict.learning.learner import Epoch
    from juggler.predict.learning.scores import Scores

PAGE, FIGURES, TABLES = "prediction.html", "figures", "tables"
PAPER_NETWORKS = ("lenet", "alexnet", "vgg16")  # of Figs. 3 and 5 to 7
FEWEST_BATCHES = 2


@dataclass(frozen=True)
class PredictionStory:
    """What a report on a predictor is made of.

    Attributes:
        machine: that was measured.
        report: of the fit.
        comparison: of all learners; None where none were scored.
        histories: errors by epoch of the networks among them, by learner, on conv kernels.
        phases: of the paper's layers, on kernels held out.
        networks: predicted and measured.
        networks_from: where those come from, in words.
        level: share of measurements that the predictor's intervals are to cover.
    """

    machine: Machine
    report: FitReport
    comparison: Comparison | None = None
    histories: Mapping[str, Sequence[Epoch]] = field(default_factory=dict)
    phases: Sequence[PhaseEvidence] = ()
    networks: Sequence[NetworkPoint] = ()
    networks_from: str = ""
    level: float = 0.9


def write_prediction_report(story: PredictionStory, folder: Path) -> Path:
    """Write the page, every figure as SVG, and the numbers behind all as CSV; return the path of the page.

    Raises:
        ConfigError: nothing can be written there.
    """
    drawings = dict(_drawings(story))
    for name, drawing in drawings.items():
        write_atomically(folder / FIGURES / f"{name}.svg", standalone(str(drawing.svg)).encode())
    tables = {
        "table1": sheets.learner_rows(story.comparison),
        "table2": sheets.family_rows(story.report),
        "tables5to8": sheets.phase_rows(story.phases, story.report.device),
        "fig2": sheets.epoch_rows(story.histories),
        "fig4": sheets.kernel_rows(story.phases),
        "networks": sheets.network_rows(story.networks),
    }
    for name, table in tables.items():
        write_atomically(folder / TABLES / f"{name}.csv", sheets.csv_text(table).encode())
    return write_page(_page(story, drawings), folder / PAGE)


def _page(story: PredictionStory, drawings: Mapping[str, Drawing]) -> Page:
    report = story.report
    return Page(
        title=f"Latency predicted: {units.clean(report.device)}",
        summary=f"{report.samples:,} samples on {units.clean(story.machine.cpu)}, in ResPerfNet's "
        "tables and figures. What the paper published stands beside and is marked so: other devices, other "
        "runtimes, other data.",
        sections=tuple(
            Section(title, text, tuple(drawings[name] for name in names if name in drawings), tuple(tables))
            for title, text, names, tables in _sections(story)
        ),
    )


def _sections(story: PredictionStory) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], list[Sheet]]]:
    comparison, report = story.comparison, story.report
    if comparison is None:
        yield "Learners", ("None were scored: run juggler fit without --learners none.",), (), []
    else:
        families = dict.fromkeys(row.family for row in comparison.rows)
        first = "conv" if "conv" in families else next(iter(families), "conv")
        text = (
            () if story.histories else ("Fig. 2 needs the learners that train by epochs, on conv kernels.",)
        )
        yield "Learners", text, ("fig2",), [sheets.learners_sheet(comparison, first)]
    yield "Families", (), ("fig4",), [sheets.families_sheet(report, story.level)]
    yield "Three phases", (), (), [sheets.phases_sheet(story.phases, report.device)]
    if story.networks:
        text = (units.clean(story.networks_from),) if story.networks_from else ()
        names, chosen = ("fig3", "fig5to7", "networks"), _swept(story.networks)
        tables = [sheets.networks_sheet(story.networks, _scores_by_network(story.networks))]
        if chosen:
            tables.append(
                sheets.batches_sheet(
                    [point for network_points in chosen.values() for point in network_points]
                )
            )
        yield "Networks", text, names, tables
    else:
        yield "Networks", ("None were timed.",), (), []
    yield "Devices", (), (), [sheets.devices_sheet(story.machine), machine_sheet(story.machine)]
    yield "Published", (), (), [sheets.published_sheet()]


def _drawings(story: PredictionStory) -> Iterator[tuple[str, Drawing]]:
    if story.histories:
        caption = (
            "Fig. 2: errors by epoch on the execution of conv kernels; dashed in training, solid held out"
        )
        yield "fig2", _drawing(caption, figures.epochs_figure(story.histories))
    if any(phase.phase == "exec" for phase in story.phases):
        caption = "Fig. 4: predicted against measured execution, kernels held out"
        yield "fig4", _drawing(caption, figures.scatter_figure(story.phases))
    if not story.networks:
        return
    chosen = _swept(story.networks)
    if chosen:
        scores = _scores_by_network(story.networks)
        caption = (
            "Fig. 3: latency over the batch size, measured and predicted; "
            f"the band is the {story.level:.0%} interval"
        )
        yield "fig3", _drawing(caption, figures.batches_figure(chosen, scores))
        caption = "Figs. 5 to 7: predicted against measured, a point a batch size"
        yield "fig5to7", _drawing(caption, figures.each_network_figure(chosen, scores))
    caption = "All networks: predicted against measured, with intervals"
    yield "networks", _drawing(caption, figures.networks_figure(story.networks, _scores(story.networks)))


def _swept(points: Sequence[NetworkPoint]) -> dict[str, list[NetworkPoint]]:
    """Return the paper's networks over their batch sizes; where there are none of them, the first others."""
    by_network: dict[str, list[NetworkPoint]] = {}
    for point in points:
        by_network.setdefault(point.network, []).append(point)
    swept = {
        name: network_points
        for name, network_points in by_network.items()
        if len({p.batch for p in network_points}) >= FEWEST_BATCHES
    }
    chosen = [name for name in PAPER_NETWORKS if name in swept] or list(swept)[: len(PAPER_NETWORKS)]
    return {name: swept[name] for name in chosen}


def _scores_by_network(points: Sequence[NetworkPoint]) -> dict[str, Scores]:
    """Return the scores of each network that was timed more than once, and of all under an empty name."""
    names = dict.fromkeys(point.network for point in points)
    network_points = {name: [point for point in points if point.network == name] for name in names}
    return {name: _scores(of) for name, of in network_points.items() if len(of) > 1} | {"": _scores(points)}


def _scores(points: Sequence[NetworkPoint]) -> Scores:
    from juggler.predict.learning.scores import score  # noqa: PLC0415  # tables need no more than the nouns

    return score([point.measured_ms for point in points], [point.predicted_ms for point in points])


def _drawing(caption: str, svg: str) -> Drawing:
    return Drawing(caption, Markup(svg))  # noqa: S704  # matplotlib escapes every label
