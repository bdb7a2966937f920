"""Support vector regression with an RBF kernel: fitted by scikit-learn, kept as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from juggler.arrays import Floats
from juggler.errors import Unavailable
from juggler.extras import install_command
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import FittedState, SampleLearner, Training
from juggler.predict.learning.net_inputs import Inputs
from juggler.predict.learning.scores import mape
from juggler.predict.learning.splits import random_split

_CHOOSING_ROWS = 2000  # settings are chosen on so many: the time of a fit goes with their square
_TRIALS = tuple(
    (logs, cost, gamma) for logs in (False, True) for cost in (3.0, 30.0) for gamma in (0.02, 0.08, 0.3)
)
_EPSILON = 0.02


@dataclass(frozen=True, eq=False)
class FittedSvr(FittedState):
    """Support vectors and their weights.

    Attributes:
        inputs: the columns.
        logs: whether sizes and latencies are logs.
        gamma: of the kernel `exp(-gamma |a - b|^2)`.
        middle: what the answer is relative to, in ms or log ms.
        unit: by which the answer is multiplied.
        vectors: `[support, columns]`.
        weights: `[support]`.
        span: least and largest answer in ms.
    """

    inputs: Inputs
    logs: bool
    gamma: float
    middle: float
    unit: float
    vectors: Floats
    weights: Floats
    span: tuple[float, float]

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`."""
        matrix = self.inputs.matrix(table).astype(np.float64)
        lengths = (self.vectors**2).sum(1)
        answers = np.empty(len(matrix))
        for first in range(0, len(matrix), 512):
            rows = matrix[first : first + 512]
            distance = (rows**2).sum(1)[:, None] + lengths - 2.0 * rows @ self.vectors.T
            answers[first : first + 512] = np.exp(-self.gamma * np.maximum(distance, 0.0)) @ self.weights
        answers = self.middle + self.unit * answers
        low, high = self.span
        if self.logs:
            return np.exp(np.clip(answers, np.log(low), np.log(high)))
        return np.clip(answers, low, high)


@dataclass(frozen=True)
class Svr(SampleLearner[FittedSvr]):
    """Cost, width of the kernel, and raw or logged sizes and latencies, chosen on validation."""

    name: str = "svr"
    summary: str = "support vectors with an RBF kernel on the paper's features, raw or as logs"
    fitted = FittedSvr

    def learn(self, table: KernelTable, target: Floats, how: Training) -> FittedSvr:
        """Learn."""
        if how.validation is None:
            train, held = random_split(len(table), seed=how.seed)
            others, answers = table.take(held), target[held]
        else:
            train = np.random.default_rng(how.seed).permutation(len(table))
            others, answers = how.validation
        some = train[:_CHOOSING_ROWS]
        errors: list[float] = []
        for done, trial in enumerate(_TRIALS, 1):
            errors.append(mape(answers, _fit(table.take(some), target[some], *trial).predict(others)))
            how.step(done, len(_TRIALS) + 1, "trials")
        fitted = _fit(table, target, *_TRIALS[int(np.argmin(errors))])
        how.step(len(_TRIALS) + 1, len(_TRIALS) + 1, "trials")
        return fitted


def _fit(table: KernelTable, target: Floats, logs: bool, cost: float, gamma: float) -> FittedSvr:
    try:
        from sklearn.svm import SVR  # noqa: PLC0415
    except ImportError as error:
        raise Unavailable(
            "fit support vectors", "scikit-learn is not installed", f"Run: {install_command('train')}"
        ) from error
    inputs = Inputs.fit("log" if logs else "paper", table)
    goal = np.log(target) if logs else target
    middle, unit = float(np.median(goal)), float(goal.std()) or 1.0
    machine = SVR(C=cost, gamma=gamma, epsilon=_EPSILON, cache_size=500)
    machine.fit(inputs.matrix(table).astype(np.float64), (goal - middle) / unit)
    middle += unit * float(machine.intercept_[0])
    span = float(target.min()) / 2.0, float(target.max()) * 2.0
    vectors, weights = np.asarray(machine.support_vectors_), np.asarray(machine.dual_coef_[0])
    return FittedSvr(inputs, logs, gamma, middle, unit, vectors, weights, span)


LEARNER = Svr()
