"""Polynomial regression: degree, ridge, and raw or logged sizes and latencies, chosen on validation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb

import numpy as np

from juggler.arrays import Floats
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import FittedState, SampleLearner, Training
from juggler.predict.learning.net_inputs import Inputs
from juggler.predict.learning.scores import mape

_DEGREES, _RIDGES = (1, 2, 3), (1e-6, 1e-3)
_WIDEST = 1200  # terms; more are neither fitted in seconds nor of use
_REACH = 10.0  # times the largest latency seen: above it a polynomial only explodes


def terms(matrix: Floats, degree: int) -> Floats:
    """Return all products of up to `degree` columns, the constant first: `[n, terms]`."""
    columns = [np.ones(len(matrix))]
    for power in range(1, degree + 1):
        for chosen in combinations_with_replacement(range(matrix.shape[1]), power):
            columns.append(matrix[:, chosen].prod(axis=1))
    return np.stack(columns, axis=1)


@dataclass(frozen=True, eq=False)
class FittedPolynomial(FittedState):
    """A polynomial of z-scored features.

    Attributes:
        inputs: the columns.
        degree: of the polynomial.
        logs: whether sizes and latencies are logs.
        coefficients: one a term.
        span: least and largest answer in ms.
    """

    inputs: Inputs
    degree: int
    logs: bool
    coefficients: Floats
    span: tuple[float, float]

    def __post_init__(self) -> None:
        # A degree from a file decides how many terms are made.
        if (
            not 0.0 < self.span[0] <= self.span[1]
            or self.degree not in _DEGREES
            or len(self.coefficients) != comb(self.inputs.width + self.degree, self.degree)
        ):
            raise ValueError(
                f"a polynomial of degree {self.degree} with {len(self.coefficients)} coefficients"
            )

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`."""
        answer = terms(self.inputs.matrix(table).astype(np.float64), self.degree) @ self.coefficients
        low, high = self.span
        if self.logs:
            return np.exp(np.clip(answer, np.log(low), np.log(high)))
        return np.clip(answer, low, high)


@dataclass(frozen=True)
class Polynomial(SampleLearner[FittedPolynomial]):
    """Ridge regression on products of features."""

    name: str = "polynomial"
    summary: str = "a polynomial of degree 1 to 3 on the paper's features, raw or as logs"
    fitted = FittedPolynomial

    def learn(self, table: KernelTable, target: Floats, how: Training) -> FittedPolynomial:
        """Learn."""
        rows, goal, others, answers = how.choosing_rows(table, target)
        trials = [(logs, degree, ridge) for logs in (False, True) for degree in _DEGREES for ridge in _RIDGES]
        errors: list[float] = []
        for done, trial in enumerate(trials, 1):
            candidate = _fit(rows, goal, *trial)
            errors.append(np.inf if candidate is None else mape(answers, candidate.predict(others)))
            how.step(done, len(trials), "trials")
        fitted = _fit(table, target, *trials[int(np.argmin(errors))])
        return fitted or _constant(table, target)


def _fit(
    table: KernelTable, target: Floats, logs: bool, degree: int, ridge: float
) -> FittedPolynomial | None:
    """Fit one polynomial; None where it has more terms than rows, or than is of use."""
    inputs = Inputs.fit("log" if logs else "paper", table)
    columns = terms(inputs.matrix(table).astype(np.float64), degree)
    if degree > 1 and columns.shape[1] > min(len(table) // 2, _WIDEST):
        return None
    penalty = ridge * len(table) * np.eye(columns.shape[1])
    goal = np.log(target) if logs else target
    solved = np.linalg.solve(columns.T @ columns + penalty, columns.T @ goal)
    span = float(target.min()) / 2.0, float(target.max()) * _REACH
    return FittedPolynomial(inputs, degree, logs, np.asarray(solved, np.float64), span)


def _constant(table: KernelTable, target: Floats) -> FittedPolynomial:
    inputs = Inputs.fit("log", table)
    coefficients = np.zeros(inputs.width + 1)
    coefficients[0] = np.log(target).mean()
    return FittedPolynomial(inputs, 1, True, coefficients, (float(target.min()), float(target.max())))


LEARNER = Polynomial()
