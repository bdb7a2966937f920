"""What `juggler fit --report` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from juggler.nouns import ReportProgress

if TYPE_CHECKING:
    from juggler.predict.campaign.networks import TimedNetwork
    from juggler.predict.campaign.store.samples import Store
    from juggler.predict.fit.comparison import Comparison
    from juggler.predict.fit.evidence import NetworkPoint
    from juggler.predict.fit.report import FitReport
    from juggler.predict.learning.learner import Epoch
    from juggler.predict.predictor.predictor import Predictor


def write_fit_report(
    store: Store,
    *,
    predictor: Predictor,
    report: FitReport,
    comparison: Comparison | None,
    histories: Mapping[str, Sequence[Epoch]],
    timed: Sequence[TimedNetwork],
    folder: Path,
    measured: Sequence[NetworkPoint] | None,
    machine: str | None,
    split: str,
    progress: ReportProgress,
) -> Path:
    """Write the paper's tables and figures for a predictor; return the path of the page.

    Its networks are the measured ones, or where there are none those that were timed for the fit.
    """
    from juggler.predict.fit.evidence import network_points, phase_evidence  # noqa: PLC0415
    from juggler.report.prediction.page import PredictionStory, write_prediction_report  # noqa: PLC0415

    source = "Networks that no learner saw, timed by benchmarks/predict/networks.py."
    if measured is None:
        measured = network_points(predictor, timed)
        source = "Networks drawn at random, each predicted by a composition that was fitted without it."
    phases = phase_evidence(
        store.samples(machine=machine),
        {family.family: family.learner for family in report.families},
        split=split,
        seed=report.seed,
        progress=progress,
    )
    story = PredictionStory(
        machine=predictor.machine,
        report=report,
        comparison=comparison,
        histories=histories,
        phases=phases,
        networks=measured,
        networks_from=source,
        level=predictor.networks.level,
    )
    return write_prediction_report(story, folder)


def read_measured(path: Path | None) -> tuple[NetworkPoint, ...] | None:
    """Read the networks that a report is to show; None where no file is named."""
    from juggler.predict.fit.evidence import read_points  # noqa: PLC0415

    return None if path is None else read_points(path)
