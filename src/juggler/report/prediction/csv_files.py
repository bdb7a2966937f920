"""The numbers behind a predictor's tables and figures, unrounded, as CSV; published values are rows too."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from juggler.report.prediction.sheets import COLUMN, published, published_layers

if TYPE_CHECKING:
    from juggler.predict.fit.comparison import Comparison
    from juggler.predict.fit.evidence import NetworkPoint, PhaseEvidence
    from juggler.predict.fit.report import FitReport
    from juggler.predict.learning.learner import Epoch

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
