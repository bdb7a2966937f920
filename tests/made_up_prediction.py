"""A report on a predictor of kernels and networks that nobody measured."""

from __future__ import annotations

import numpy as np

from juggler.predict.campaign.store.samples import NoiseFloor
from juggler.predict.fit.comparison import Comparison, LearnerScores
from juggler.predict.fit.evidence import NetworkPoint, PhaseEvidence
from juggler.predict.fit.report import FamilyReport, FitReport, NetworkReport
from juggler.predict.learning.learner import Epoch
from juggler.predict.learning.scores import score
from juggler.report.prediction.page import PredictionStory
from made_up_samples import MACHINE

ERRORS = {
    **{
        "roofline_trees": 0.06,
        "stack": 0.05,
        "xgboost_log": 0.12,
        "resperfnet": 0.15,
        "resperfnet_paper": 0.8,
    },
    **{"perfnet": 0.2, "svr": 0.35, "polynomial": 0.5, "xgboost_raw": 0.3},
}
FAMILIES = {"conv": 0.05, "depthwise": 0.09, "pool": 0.04, "dense": 0.03}
BATCHES = (1, 2, 4, 8, 16, 32, 64)


def sides(count: int, error: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return measured and predicted milliseconds."""
    draw = np.random.default_rng(seed)
    measured = np.exp(draw.uniform(-6.0, 5.0, count))
    return measured, measured * np.exp(error * draw.standard_normal(count))


def comparison() -> Comparison:
    """Return scores of all learners."""
    rows = [
        LearnerScores(family, name, 700, score(*sides(120, error, 1)), 2.5 if family == "conv" else None)
        for family in ("conv", "dense")
        for name, error in ERRORS.items()
    ]
    return Comparison("random", 0, tuple(rows), {}, {})


def report() -> FitReport:
    """Return what a fit says."""
    families = [
        FamilyReport(family, "roofline_trees", {}, 700, 120, score(*sides(120, error, 2)), 0.11)
        for family, error in {**FAMILIES, "add": 0.1}.items()
    ]
    families.append(FamilyReport("norm", "roofline_trees", {}, 20, 0, None, 0.4))
    floors = (NoiseFloor("conv", 40, 2.5, 1.9, 0.7),)
    return FitReport("a made-up device", 2900, tuple(families), {}, floors, NetworkReport(), 0)


def history(final: float) -> tuple[Epoch, ...]:
    """Return errors that fall by epoch."""
    return tuple(
        Epoch(n, final + 90 / n, 8.0 / n + 1, 1.2 * final + 90 / n, 9.0 / n + 2) for n in range(1, 61)
    )


def points(names: dict[str, float]) -> tuple[NetworkPoint, ...]:
    """Return networks over batch sizes; by name, what one input takes."""
    draw = np.random.default_rng(3)
    found = []
    for name, each_ms in names.items():
        for batch in BATCHES:
            measured = each_ms * (0.2 + batch)
            predicted = measured * float(np.exp(0.06 * draw.standard_normal()))
            paper = None if name == "mobilenet_w1" else 0.8 * predicted
            interval = (predicted / 1.12, predicted * 1.12)
            found.append(NetworkPoint(name, batch, measured, predicted, *interval, paper))
    return tuple(found)


def story() -> PredictionStory:
    """Return all of it."""
    phases = [
        PhaseEvidence(family, phase, "roofline_trees", 700, *own, score(*own))
        for seed, (family, error) in enumerate(FAMILIES.items())
        for phase in ("pre", "exec", "post")
        for own in [sides(150, error, seed)]
    ]
    networks = {"lenet": 0.04, "alexnet": 22.0, "vgg16": 310.0, "squeezenet_v1_1": 13.0, "mobilenet_w1": 19.0}
    nets = {"perfnet": 14.0, "resperfnet": 11.0, "resperfnet_paper": 80.0}
    return PredictionStory(
        machine=MACHINE,
        report=report(),
        comparison=comparison(),
        histories={name: history(final) for name, final in nets.items()},
        phases=phases,
        networks=points(networks),
        networks_from="Made up.",
    )
