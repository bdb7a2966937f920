"""Lay out a predictor's tables in the form of ResPerfNet's, published values in columns of their own.

The numbers behind them, unrounded, are the rows that go into CSV files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from juggler.reading.documents import parse_toml
from juggler.reading.request import Request
from juggler.report.kit import units
from juggler.report.kit.sheet import Column, Sheet

if TYPE_CHECKING:
    from juggler.nouns import Machine
    from juggler.predict.fit.comparison import Comparison
    from juggler.predict.fit.evidence import NetworkPoint, PhaseEvidence
    from juggler.predict.fit.report import FitReport
    from juggler.predict.learning.learner import Epoch
    from juggler.predict.learning.scores import Scores


PHASES = ("pre", "exec", "post")
LAYERS = ("conv", "pool", "dense")  # the paper's convolutional, pooling and dense ones
# The paper's column of each learner; what is tuned or new here has none there.
COLUMN = {
    "polynomial": "polynomial",
    "svr": "svr",
    "xgboost_raw": "xgboost",
    "perfnet": "perfnet",
    "resperfnet_paper": "resperfnet",
}


@dataclass(frozen=True)
class PublishedErrors:
    """What one phase of one layer's predictor reached, as printed.

    Attributes:
        table: where it stands.
        framework: that ran the layers.
        device: that they ran on.
        family: of the layers.
        phase: `pre`, `exec` or `post`.
        mape: in percent.
        rmse_ms: in milliseconds.
        mae_ms: in milliseconds.
    """

    table: str
    framework: str
    device: str
    family: str
    phase: str
    mape: float
    rmse_ms: float
    mae_ms: float


@lru_cache(maxsize=1)
def published() -> dict[str, Any]:
    """Return the whole file."""
    text = files("juggler.report").joinpath("resperfnet.toml").read_text(encoding="utf-8")
    return parse_toml(text, Request("read what was published", "Install juggler again"))


def published_layers() -> tuple[PublishedErrors, ...]:
    """Return Tables 2 and 5 to 8, and TensorRT's of appendix H, a row a layer and phase."""
    return tuple(
        PublishedErrors(
            layer["table"], layer["framework"], layer["device"], family, phase, *layer[family][phase]
        )
        for layer in published()["layers"]
        for family in LAYERS
        for phase in PHASES
    )


def published_learners(learner: str) -> dict[str, float]:
    """Return the MAPE in percent that Table 1 gives for a learner, by framework."""
    column = COLUMN.get(learner, "")
    return {str(row["framework"]): float(row[column]) for row in published()["table1"] if column in row}


OTHER = "Published: ResPerfNet's own, as printed, on other devices, other runtimes and other data."
_PHASES = {"pre": "preprocess", "exec": "execution", "post": "postprocess"}


def learners_sheet(comparison: Comparison, family: str = "conv") -> Sheet:
    """Lay out Table 1: every learner on one family's execution, the paper's MAPE beside."""
    columns = (
        Column("learner", numeric=False),
        *(
            Column("learned"),
            Column("held out"),
            Column("MAPE", "%"),
            Column("RMSE", "ms"),
            Column("MAE", "ms"),
        ),
        *(Column("within 5 %", "%"), Column("floor", "%")),
        *(Column(f"published, {framework}", "MAPE %") for framework in ("TensorFlow", "TensorRT")),
    )
    rows = []
    for row in (row for row in comparison.rows if row.family == family):
        said = published_learners(row.learner) if family == "conv" else {}
        rows.append(
            (
                units.clean(row.learner),
                *(units.count(row.training), units.count(row.scores.n), units.decimal(row.scores.mape, 2)),
                *(units.significant(row.scores.rmse_ms), units.significant(row.scores.mae_ms)),
                *(units.decimal(row.scores.within_5, 0), units.decimal(row.floor, 2)),
                *(_printed(said.get(framework)) for framework in ("TensorFlow", "TensorRT")),
            )
        )
    held = "whole batch sizes" if comparison.split == "batch" else "a fifth of the kernels drawn at random"
    note = (
        f"Held out: {held}; seed {comparison.seed}. Floor: two timings of one kernel differ by so much. "
        f"resperfnet_paper has the paper's settings, resperfnet is tuned; XGBoost in the paper looks like "
        f"a raw target. {OTHER}"
    )
    return Sheet(f"Table 1: learners on the execution of {family} kernels", columns, tuple(rows), note=note)


def families_sheet(report: FitReport, level: float) -> Sheet:
    """Lay out Table 2: the predictor's execution errors by family, its intervals' level, the paper's MAPE."""
    said = {
        (layer.family, layer.framework): layer
        for layer in published_layers()
        if (layer.phase, layer.device) == ("exec", "GTX 1080 Ti")
    }
    floors = {floor.family: floor.mape for floor in report.floors}
    columns = (
        *(Column("family", numeric=False), Column("learner", numeric=False)),
        *(
            Column("learned"),
            Column("held out"),
            Column("MAPE", "%"),
            Column("RMSE", "ms"),
            Column("MAE", "ms"),
        ),
        *(Column("within 10 %", "%"), Column(f"{level:.0%} interval", "×, ÷"), Column("floor", "%")),
        *(Column(f"published, {framework}", "MAPE %") for framework in ("TensorFlow", "TensorRT")),
    )
    rows = []
    for family in report.families:
        scores = family.scores
        beside = [said.get((family.family, framework)) for framework in ("TensorFlow", "TensorRT")]
        rows.append(
            (
                *(
                    family.family,
                    units.clean(family.learner),
                    units.count(family.training),
                    units.count(family.calibration),
                ),
                units.decimal(scores.mape if scores else None, 2),
                *(
                    units.significant(value)
                    for value in ((scores.rmse_ms, scores.mae_ms) if scores else (None, None))
                ),
                units.decimal(scores.within_10 if scores else None, 0),
                units.decimal(1.0 + family.half_width, 2),
                units.decimal(floors.get(family.family), 2),
                *(_printed(scores.mape if scores else None) for scores in beside),
            )
        )
    note = f"Held out: drawn at random, seen by nothing in the predictor, seed {report.seed}. {OTHER}"
    return Sheet("Table 2: the predictor by family, execution", columns, tuple(rows), note=note)


def phases_sheet(phases: Sequence[PhaseEvidence], device: str) -> Sheet:
    """Lay out Tables 5 to 8's form for this device: families by phases, the paper's MAPE beside."""
    kinds = list(dict.fromkeys((layer.table, layer.device, layer.framework) for layer in published_layers()))
    said = {(layer.table, layer.family, layer.phase): layer.mape for layer in published_layers()}
    columns = (
        *(Column(name, numeric=False) for name in ("family", "phase", "learner")),
        *(Column("held out"), Column("MAPE", "%"), Column("RMSE", "ms"), Column("MAE", "ms"), Column("R²")),
        *(Column(f"published, {table}: {name}, {framework}", "MAPE %") for table, name, framework in kinds),
    )
    rows = tuple(
        (
            *(phase.family, _PHASES[phase.phase], units.clean(phase.learner), units.count(phase.scores.n)),
            units.decimal(phase.scores.mape, 2),
            *(units.significant(value) for value in (phase.scores.rmse_ms, phase.scores.mae_ms)),
            units.decimal(phase.scores.r_squared, 3),
            *(_printed(said.get((table, phase.family, phase.phase))) for table, _, _ in kinds),
        )
        for phase in phases
    )
    note = (
        "On a processor pre- and postprocessing are reorders and copies; 0.1 µs is put down where there is "
        f"nothing to do. Tables 5 to 8 and appendix H are the paper's. {OTHER}"
    )
    return Sheet(f"Tables 5 to 8: three phases on {units.clean(device)}", columns, rows, note=note)


def published_sheet() -> Sheet:
    """Lay out all that the paper prints by layer and phase."""
    columns = (
        *(Column(name, numeric=False) for name in ("table", "framework", "device", "layer", "phase")),
        *(Column("MAPE", "%"), Column("RMSE", "ms"), Column("MAE", "ms")),
    )
    rows = tuple(
        (
            *(layer.table, layer.framework, layer.device, layer.family, _PHASES[layer.phase]),
            *(f"{value:g}" for value in (layer.mape, layer.rmse_ms, layer.mae_ms)),
        )
        for layer in published_layers()
    )
    return Sheet("Published by layer and phase", columns, rows, note=OTHER)


def networks_sheet(points: Sequence[NetworkPoint], scores: Mapping[str, Scores]) -> Sheet:
    """Lay out how networks are predicted, all batches of one together, and all of them in the last row.

    Args:
        points: networks at their batches.
        scores: of each network, by its name, and of all, by an empty one.
    """
    columns = (
        Column("network", numeric=False),
        *(
            Column("timed"),
            Column("MAPE", "%"),
            Column("within 10 %", "%"),
            Column("R²"),
            Column("RMSE", "ms"),
        ),
        *(Column("in the interval", "%"), Column("Eq. 2 of the paper", "MAPE %")),
    )
    rows = []
    for name, network_scores in scores.items():
        of = [point for point in points if name in ("", point.network)]
        paper = [abs(point.paper_ms / point.measured_ms - 1.0) for point in of if point.paper_ms is not None]
        rows.append(
            (
                *(
                    units.clean(name) or "all",
                    units.count(network_scores.n),
                    units.decimal(network_scores.mape, 1),
                ),
                units.decimal(network_scores.within_10, 0),
                units.decimal(network_scores.r_squared if network_scores.n > 1 else None, 3),
                units.significant(network_scores.rmse_ms),
                units.percent(sum(point.covered for point in of) / len(of), 0),
                units.percent(sum(paper) / len(paper) if paper else None),
            )
        )
    said = published()["networks"]
    note = (
        "Eq. 2: the paper's composition of the same kernels. Published, for LeNet, AlexNet and VGG16 "
        f"on a GTX 1080 Ti: MAPE {said['resperfnet_tensorflow_mape']:g} % (ResPerfNet, TensorFlow), "
        f"{said['resperfnet_tensorrt_mape']:g} % (TensorRT), {said['perfnet_tensorflow_mape']:g} % (PerfNet)."
    )
    return Sheet("Networks, predicted and measured", columns, tuple(rows), note=note)


def batches_sheet(points: Sequence[NetworkPoint]) -> Sheet:
    """Lay out networks by batch."""
    columns = (
        Column("network", numeric=False),
        *(Column("batch"), Column("measured", "ms"), Column("predicted", "ms"), Column("off", "%")),
        *(Column("from", "ms"), Column("to", "ms"), Column("inside", numeric=False), Column("Eq. 2", "ms")),
    )
    rows = tuple(
        (
            *(units.clean(point.network), units.count(point.batch), units.significant(point.measured_ms)),
            *(units.significant(point.predicted_ms), f"{point.error:+.1f}"),
            *(
                units.significant(point.low_ms),
                units.significant(point.high_ms),
                "yes" if point.covered else "no",
            ),
            units.significant(point.paper_ms),
        )
        for point in sorted(points, key=lambda point: (point.network, point.batch))
    )
    return Sheet(
        "By batch size", columns, rows, note="From, to: the interval. Eq. 2: the paper's composition."
    )


def devices_sheet(machine: Machine) -> Sheet:
    """Lay out Table 4: this machine, and the paper's devices."""
    columns = (
        Column("device", numeric=False),
        *(Column("cores"), Column("memory", "GiB"), Column("clock", "MHz"), Column("bandwidth", "GB/s")),
        Column("peak", "TFLOPS"),
    )
    hardware = (units.clean(machine.cpu), units.count(machine.cores), units.decimal(machine.memory_gib, 1))
    rows = tuple(
        (
            f"published: {row['device']}",
            *(units.count(row["cuda_cores"]), units.DASH, units.count(row["clock_mhz"])),
            *(f"{row['bandwidth_gb_per_s']:g}", f"{row['peak_tflops']:g}"),
        )
        for row in published()["table4"]
    )
    ours = (*hardware, *(units.DASH,) * 3)
    return Sheet("Table 4: devices", columns, (ours, *rows), note="Cores of a GPU are CUDA cores.")


def _printed(value: float | None) -> str:
    """Return a published value with the digits that it was published with."""
    return units.DASH if value is None else f"{value:g}"


Row = Mapping[str, Any]
MEASURED, PUBLISHED = "measured here", "published"
_SCORES = ("mape", "rmse_ms", "mae_ms", "within_5", "within_10", "spearman", "r_squared", "n")


def csv_text(rows: Iterable[Row]) -> str:
    """Return rows as CSV; a column that a row lacks stays empty there."""
    lines = list(rows)
    names = list(dict.fromkeys(name for row in lines for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()


def learner_rows(comparison: Comparison | None) -> Iterator[Row]:
    """Yield Table 1 for every family, then the paper's."""
    for row in comparison.rows if comparison else ():
        yield {
            **{"family": row.family, "learner": row.learner, "training": row.training},
            **{name: getattr(row.scores, name) for name in _SCORES},
            **{
                "floor_mape": row.floor,
                "origin": MEASURED,
                "source": f"seed {comparison.seed}" if comparison else "",
            },
        }
    for published_row in published()["table1"]:
        for learner, column in COLUMN.items():
            if column in published_row:
                named = {"family": "conv", "learner": learner, "mape": published_row[column]}
                yield {
                    **named,
                    "origin": PUBLISHED,
                    "source": f"Table 1, {published_row['framework']}, GTX 1080 Ti",
                }


def family_rows(report: FitReport) -> Iterator[Row]:
    """Yield Table 2 for this device, then the paper's."""
    for family in report.families:
        scores = {name: getattr(family.scores, name) for name in _SCORES} if family.scores else {}
        named = {"family": family.family, "learner": family.learner, "training": family.training}
        yield {
            **named,
            **scores,
            "half_width": family.half_width,
            "origin": MEASURED,
            "source": report.device,
        }
    for said in published_layers():
        if said.phase == "exec" and said.device == "GTX 1080 Ti":
            errors = {"mape": said.mape, "rmse_ms": said.rmse_ms, "mae_ms": said.mae_ms}
            source = f"Table 2, {said.framework}, {said.device}"
            yield {"family": said.family, **errors, "origin": PUBLISHED, "source": source}


def phase_rows(phases: Sequence[PhaseEvidence], device: str) -> Iterator[Row]:
    """Yield families by phases for this device, then Tables 5 to 8 and appendix H."""
    for phase in phases:
        named = {
            "family": phase.family,
            "phase": phase.phase,
            "learner": phase.learner,
            "training": phase.training,
        }
        scores = {name: getattr(phase.scores, name) for name in _SCORES}
        yield {**named, **scores, "origin": MEASURED, "source": device}
    for said in published_layers():
        named = {"family": said.family, "phase": said.phase}
        errors = {"mape": said.mape, "rmse_ms": said.rmse_ms, "mae_ms": said.mae_ms}
        source = f"{said.table}, {said.framework}, {said.device}"
        yield {**named, **errors, "origin": PUBLISHED, "source": source}


def epoch_rows(histories: Mapping[str, Sequence[Epoch]]) -> Iterator[Row]:
    """Yield Fig. 2's points."""
    for learner, epochs in histories.items():
        yield from ({"learner": learner, **asdict(epoch)} for epoch in epochs)


def kernel_rows(phases: Sequence[PhaseEvidence]) -> Iterator[Row]:
    """Yield Fig. 4's points, of all phases."""
    for phase in phases:
        for measured, predicted in zip(phase.measured_ms, phase.predicted_ms, strict=True):
            named = {"family": phase.family, "phase": phase.phase}
            yield {**named, "measured_ms": float(measured), "predicted_ms": float(predicted)}


def network_rows(points: Sequence[NetworkPoint]) -> Iterator[Row]:
    """Yield the points of Figs. 3 and 5 to 7."""
    yield from (asdict(point) for point in points)
