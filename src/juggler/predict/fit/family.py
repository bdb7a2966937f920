"""Fit one family: part its samples, choose a learner, fit it, and keep what calibrates its interval apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from juggler.arrays import Floats
from juggler.predict.kernels.sample import AT_RANDOM, Sample, latencies_ms
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import FEWEST, LEARNERS
from juggler.predict.learning.splits import folds
from juggler.predict.predictor.kernel_model import EXEC, POST, PRE, KernelModel, Range

CALIBRATION_SHARE = 0.2
FOLDS = 3  # in which a learner is chosen
FEWEST_TO_CHOOSE = 60  # samples of a family, below which the first learner is taken unasked
PHASED = ("conv", "depthwise", "pool", "dense")  # the paper's layers: what Eq. 2 begins and ends with
# Copies and reorders go by bytes: one learner serves, and few networks have more than two such phases.
PHASE_LEARNER = "roofline_trees"


@dataclass(frozen=True)
class FittedFamily:
    """A family's model, and the samples that it has not seen.

    Attributes:
        model: what was fitted.
        chosen_from: validation MAPE of each learner, in percent, no error above 100; empty where one was
            taken unasked.
        measured_ms: of the samples that calibrate the interval, `[n]`.
        predicted_ms: of the same, `[n]`.
    """

    model: KernelModel
    chosen_from: dict[str, float]
    measured_ms: Floats
    predicted_ms: Floats


def fit_family(family: str, samples: Sequence[Sample], learners: Sequence[str], seed: int) -> FittedFamily:
    """Fit the family's kernels in all their phases; a fifth of what was drawn at random is set apart.

    Args:
        family: that all samples are of.
        samples: at least as many as a learner needs.
        learners: names to choose from.
        seed: of the parts and the learners.
    """
    return fit_parted(family, *_parted(samples, seed), learners, seed)


def fit_parted(
    family: str, training: Sequence[Sample], calibration: Sequence[Sample], learners: Sequence[str], seed: int
) -> FittedFamily:
    """Fit the family's kernels in all their phases to the training samples alone."""
    name, chosen_from = _chosen(training, learners, seed)
    table = KernelTable.of_samples(training)
    phases = {EXEC: LEARNERS.get(name).fit(table, latencies_ms(training, EXEC), seed=seed)}
    names = {EXEC: name}
    for phase in (PRE, POST) if family in PHASED else ():
        phases[phase] = LEARNERS.get(PHASE_LEARNER).fit(table, latencies_ms(training, phase), seed=seed)
        names[phase] = PHASE_LEARNER
    model = KernelModel(family, name, phases, Range.of(table), learners=names)
    predicted = model.predict([s.spec for s in calibration]) if calibration else np.empty(0)
    return FittedFamily(model, chosen_from, latencies_ms(calibration, EXEC), predicted)


def _parted(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """Set a fifth of what was drawn at random apart, all samples of one kernel together."""
    random = sorted({s.spec.digest for s in samples if s.sampled_by in AT_RANDOM})
    others = {s.spec.digest for s in samples if s.sampled_by not in AT_RANDOM}
    distinct = [digest for digest in random if digest not in others]
    count = min(round(CALIBRATION_SHARE * len(distinct)), len(samples) - FEWEST)
    order = np.random.default_rng([seed, 1]).permutation(len(distinct))
    apart = {distinct[index] for index in order[: max(0, count)]}
    training = [sample for sample in samples if sample.spec.digest not in apart]
    return training, [sample for sample in samples if sample.spec.digest in apart]


def _chosen(training: Sequence[Sample], learners: Sequence[str], seed: int) -> tuple[str, dict[str, float]]:
    """Return the learner that does best on training samples that it has not seen, and how each does on them.

    Only samples that were drawn at random are held out, fold by fold. A few of them are timed wrongly, or lie
    alone at the edge of the space: no error counts for more than 100 %, or they would choose.
    """
    at = np.flatnonzero([sample.sampled_by in AT_RANDOM for sample in training])
    if len(learners) == 1 or len(training) < FEWEST_TO_CHOOSE or len(at) < FOLDS:
        return learners[0], {}
    table, target = KernelTable.of_samples(training), latencies_ms(training, EXEC)
    errors: dict[str, list[Floats]] = {name: [] for name in learners}
    for _, part in folds(len(at), FOLDS, seed=seed):
        held = at[part]
        rest = np.setdiff1d(np.arange(len(training)), held)
        for name in learners:
            fitted = LEARNERS.get(name).fit(table.take(rest), target[rest], seed=seed)
            relative = np.abs(fitted.predict(table.take(held)) / target[held] - 1.0)
            errors[name].append(100.0 * np.minimum(relative, 1.0))
    mean_errors = {
        name: float(np.concatenate(parts_of_errors).mean()) for name, parts_of_errors in errors.items()
    }
    return min(mean_errors, key=lambda name: mean_errors[name]), mean_errors
