"""What a report on a predictor shows beside its scores: three phases, every prediction, errors by epoch.

Each family is parted as when learners are compared, so that its figures are of kernels held out; the learner
is the one that the predictor took for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from juggler.arrays import Floats
from juggler.nouns import Progress, ReportProgress
from juggler.predict.campaign.networks import TimedNetwork
from juggler.predict.fit.comparison import parted_samples
from juggler.predict.fit.family import PHASE_LEARNER, PHASED
from juggler.predict.fit.predictor import left_out_ms
from juggler.predict.kernels.sample import Sample, by_family, latencies_ms
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import LEARNERS
from juggler.predict.learning.scores import Scores, score
from juggler.predict.predictor.kernel_model import EXEC, POST, PRE
from juggler.predict.predictor.predictor import NETWORK, Predictor
from juggler.reading.documents import read_json
from juggler.reading.request import Request


@dataclass(frozen=True)
class PhaseEvidence:
    """One phase of one family, on kernels held out.

    Attributes:
        family: of the kernels.
        phase: `pre`, `exec` or `post`.
        learner: that was fitted to the others.
        training: how many those were.
        measured_ms: `[n]`.
        predicted_ms: `[n]`.
        scores: of these.
    """

    family: str
    phase: str
    learner: str
    training: int
    measured_ms: Floats
    predicted_ms: Floats
    scores: Scores


@dataclass(frozen=True)
class NetworkPoint:
    """One network at one batch, predicted and measured.

    Attributes:
        network: its name.
        batch: inputs a call.
        measured_ms: of a call.
        predicted_ms: of it.
        low_ms: lower end of the interval.
        high_ms: upper end.
        paper_ms: the paper's Eq. 2 on the same kernels; None where it has no pre- and postprocessing.
    """

    network: str
    batch: int
    measured_ms: float
    predicted_ms: float
    low_ms: float
    high_ms: float
    paper_ms: float | None

    @property
    def error(self) -> float:
        """Return how far the prediction is off, in percent."""
        return 100.0 * (self.predicted_ms / self.measured_ms - 1.0)

    @property
    def covered(self) -> bool:
        """Say whether the interval holds what was measured."""
        return self.low_ms <= self.measured_ms <= self.high_ms


def phase_evidence(
    samples: Sequence[Sample],
    learners: Mapping[str, str],
    *,
    split: str = "random",
    seed: int = 0,
    progress: ReportProgress | None = None,
) -> tuple[PhaseEvidence, ...]:
    """Fit and score the three phases of the paper's layers, and of depthwise convolutions.

    Args:
        samples: of one machine, backend and number of threads.
        learners: of the execution phase, by family; families that it lacks are left out.
        split: how they are parted; see `compare_learners`.
        seed: of the parts and the learners.
        progress: called with fits done and in all.
    """
    grouped = by_family(samples, PHASED)
    parts = {family: parted_samples(of, split, seed) for family, of in grouped.items() if family in learners}
    pairs = [(family, phase) for family, part in parts.items() if part for phase in (PRE, EXEC, POST)]
    evidence = []
    for done, (family, phase) in enumerate(pairs):
        if progress:
            progress(Progress("fit", done, len(pairs), "fits"))
        part = parts[family]
        if part is None:
            continue
        train, test = ([grouped[family][row] for row in rows] for rows in part)
        name = learners[family] if phase == EXEC else PHASE_LEARNER
        fitted = LEARNERS.get(name).fit(KernelTable.of_samples(train), latencies_ms(train, phase), seed=seed)
        measured, predicted = latencies_ms(test, phase), fitted.predict(KernelTable.of_samples(test))
        scores = score(measured, predicted)
        evidence.append(PhaseEvidence(family, phase, name, len(train), measured, predicted, scores))
    if progress:
        progress(Progress("fit", len(pairs), len(pairs), "fits"))
    return tuple(evidence)


def network_points(predictor: Predictor, networks: Sequence[TimedNetwork]) -> tuple[NetworkPoint, ...]:
    """Return timed networks, each predicted by a composition that was fitted without it."""
    if not networks:
        return ()
    names, measured = (
        [network.name for network in networks],
        np.array([network.latency_ms for network in networks]),
    )
    left_out = left_out_ms([predictor.parts(network.reading) for network in networks], measured, names)
    factor = float(np.exp(predictor.networks.half_widths.get(NETWORK, 0.0)))
    return tuple(
        NetworkPoint(
            network=network.name,
            batch=network.reading.shape[0],
            measured_ms=network.latency_ms,
            predicted_ms=float(predicted),
            low_ms=float(predicted) / factor,
            high_ms=float(predicted) * factor,
            paper_ms=predictor.predict(network.reading).paper_ms,
        )
        for network, predicted in zip(networks, left_out, strict=True)
    )


def read_points(path: Path) -> tuple[NetworkPoint, ...]:
    """Read the result of benchmarks/predict/networks.py.

    Raises:
        ArtefactError: there is no such file, or it holds something else.
    """
    request = Request(f"read {path}", "Name a result of benchmarks/predict/networks.py")
    record = read_json(path, request)
    with request.refusing("timed networks"):
        rows = record["networks"]
        return tuple(
            NetworkPoint(
                network=str(row["network"]),
                batch=int(row["batch"]),
                paper_ms=None if row["paper_ms"] is None else float(row["paper_ms"]),
                **{
                    f"{name}_ms": float(row[f"{name}_ms"])
                    for name in ("measured", "predicted", "low", "high")
                },
            )
            for row in rows
        )
