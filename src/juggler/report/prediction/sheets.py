"""Lay out a predictor's tables in the form of ResPerfNet's, published values in columns of their own.

The numbers behind them, unrounded, are in `juggler.report.prediction.csv_files`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from juggler.report.kit import units
from juggler.report.kit.sheet import Column, Sheet
from juggler.report.prediction.published import published, published_layers, published_learners

if TYPE_CHECKING:
    from juggler.nouns import Machine
    from juggler.predict.fit.comparison import Comparison
    from juggler.predict.fit.evidence import NetworkPoint, PhaseEvidence
    from juggler.predict.fit.report import FitReport
    from juggler.predict.learning.scores import Scores

OTHER = "Published: ResPerfNet's own, as printed, on other devices, other runtimes and other data."
_PHASES = {"pre": "preprocess", "exec": "execution", "post": "postprocess"}


def learners_sheet(found: Comparison, family: str = "conv") -> Sheet:
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
    for row in (row for row in found.rows if row.family == family):
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
    held = "whole batch sizes" if found.split == "batch" else "a fifth of the kernels drawn at random"
    note = (
        f"Held out: {held}; seed {found.seed}. Floor: two timings of one kernel differ by so much. "
        f"resperfnet_paper has the paper's settings, resperfnet is tuned; XGBoost in the paper looks like "
        f"a raw target. {OTHER}"
    )
    return Sheet(f"Table 1: learners on the execution of {family} kernels", columns, tuple(rows), note=note)


def families_sheet(report: FitReport) -> Sheet:
    """Lay out Table 2: the predictor's execution errors by family, the paper's MAPE beside."""
    said = {
        (one.family, one.framework): one
        for one in published_layers()
        if (one.phase, one.device) == ("exec", "GTX 1080 Ti")
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
        *(Column("within 10 %", "%"), Column("90 % interval", "×, ÷"), Column("floor", "%")),
        *(Column(f"published, {framework}", "MAPE %") for framework in ("TensorFlow", "TensorRT")),
    )
    rows = []
    for one in report.families:
        scores = one.scores
        beside = [said.get((one.family, framework)) for framework in ("TensorFlow", "TensorRT")]
        rows.append(
            (
                *(
                    one.family,
                    units.clean(one.learner),
                    units.count(one.training),
                    units.count(one.calibration),
                ),
                units.decimal(scores.mape if scores else None, 2),
                *(
                    units.significant(value)
                    for value in ((scores.rmse_ms, scores.mae_ms) if scores else (None, None))
                ),
                units.decimal(scores.within_10 if scores else None, 0),
                units.decimal(1.0 + one.half_width, 2),
                units.decimal(floors.get(one.family), 2),
                *(_printed(other.mape if other else None) for other in beside),
            )
        )
    note = f"Held out: drawn at random, seen by nothing in the predictor, seed {report.seed}. {OTHER}"
    return Sheet("Table 2: the predictor by family, execution", columns, tuple(rows), note=note)


def phases_sheet(found: Sequence[PhaseEvidence], device: str) -> Sheet:
    """Lay out Tables 5 to 8's form for this device: families by phases, the paper's MAPE beside."""
    kinds = list(dict.fromkeys((one.table, one.device, one.framework) for one in published_layers()))
    said = {(one.table, one.family, one.phase): one.mape for one in published_layers()}
    columns = (
        *(Column(name, numeric=False) for name in ("family", "phase", "learner")),
        *(Column("held out"), Column("MAPE", "%"), Column("RMSE", "ms"), Column("MAE", "ms"), Column("R²")),
        *(Column(f"published, {table}: {name}, {framework}", "MAPE %") for table, name, framework in kinds),
    )
    rows = tuple(
        (
            *(one.family, _PHASES[one.phase], units.clean(one.learner), units.count(one.scores.n)),
            units.decimal(one.scores.mape, 2),
            *(units.significant(value) for value in (one.scores.rmse_ms, one.scores.mae_ms)),
            units.decimal(one.scores.r_squared, 3),
            *(_printed(said.get((table, one.family, one.phase))) for table, _, _ in kinds),
        )
        for one in found
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
            *(one.table, one.framework, one.device, one.family, _PHASES[one.phase]),
            *(f"{value:g}" for value in (one.mape, one.rmse_ms, one.mae_ms)),
        )
        for one in published_layers()
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
    for name, own in scores.items():
        of = [one for one in points if name in ("", one.network)]
        paper = [abs(one.paper_ms / one.measured_ms - 1.0) for one in of if one.paper_ms is not None]
        rows.append(
            (
                *(units.clean(name) or "all", units.count(own.n), units.decimal(own.mape, 1)),
                units.decimal(own.within_10, 0),
                units.decimal(own.r_squared if own.n > 1 else None, 3),
                units.significant(own.rmse_ms),
                units.percent(sum(one.covered for one in of) / len(of), 0),
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
            *(units.clean(one.network), units.count(one.batch), units.significant(one.measured_ms)),
            *(units.significant(one.predicted_ms), f"{one.error:+.1f}"),
            *(units.significant(one.low_ms), units.significant(one.high_ms), "yes" if one.covered else "no"),
            units.significant(one.paper_ms),
        )
        for one in sorted(points, key=lambda one: (one.network, one.batch))
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
    own = (units.clean(machine.cpu), units.count(machine.cores), units.decimal(machine.memory_gib, 1))
    rows = tuple(
        (
            f"published: {one['device']}",
            *(units.count(one["cuda_cores"]), units.DASH, units.count(one["clock_mhz"])),
            *(f"{one['bandwidth_gb_per_s']:g}", f"{one['peak_tflops']:g}"),
        )
        for one in published()["table4"]
    )
    ours = (*own, *(units.DASH,) * 3)
    return Sheet("Table 4: devices", columns, (ours, *rows), note="Cores of a GPU are CUDA cores.")


def _printed(value: float | None) -> str:
    """Return a published value with the digits that it was published with."""
    return units.DASH if value is None else f"{value:g}"
