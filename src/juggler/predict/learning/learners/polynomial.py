"""Polynomial regression: degree, ridge, and raw or logged sizes and latencies, chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt

from juggler.arrays import Arrays, Floats
from juggler.nouns import Progress, ReportProgress
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import Epoch, Validation, check_target, choosing_rows
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
class FittedPolynomial:
    """A polynomial of z-scored features.

    Attributes:
        inputs: the columns.
        degree: of the polynomial.
        logs: whether sizes and latencies are logs.
        coefficients: one a term.
        span: least and largest answer in ms.
        history: empty.
    """

    inputs: Inputs
    degree: int
    logs: bool
    coefficients: Floats
    span: tuple[float, float]
    history: tuple[Epoch, ...] = ()

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`."""
        answer = terms(self.inputs.matrix(table).astype(np.float64), self.degree) @ self.coefficients
        low, high = self.span
        if self.logs:
            return np.exp(np.clip(answer, np.log(low), np.log(high)))
        return np.clip(answer, low, high)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Return JSON values and arrays."""
        fields = {"inputs": self.inputs.to_dict(), "degree": self.degree, "logs": self.logs}
        return {**fields, "span": list(self.span)}, {"coefficients": self.coefficients}


@dataclass(frozen=True)
class Polynomial:
    """Ridge regression on products of features."""

    name: str = "polynomial"
    summary: str = "a polynomial of degree 1 to 3 on the paper's features, raw or as logs"

    def fit(
        self,
        table: KernelTable,
        target_ms: Floats,
        *,
        seed: int = 0,
        progress: ReportProgress | None = None,
        validation: Validation | None = None,
    ) -> FittedPolynomial:
        """Learn; see `juggler.predict.learning.learner.Learner.fit`."""
        target = check_target(table, target_ms)
        rows, goal, others, answers = choosing_rows(table, target, validation, seed)
        trials = [(logs, degree, ridge) for logs in (False, True) for degree in _DEGREES for ridge in _RIDGES]
        errors: list[float] = []
        for done, trial in enumerate(trials, 1):
            candidate = _fit(rows, goal, *trial)
            errors.append(np.inf if candidate is None else mape(answers, candidate.predict(others)))
            if progress is not None:
                progress(Progress("fit", done, len(trials), "trials"))
        fitted = _fit(table, target, *trials[int(np.argmin(errors))])
        return fitted or _constant(table, target)

    def restore(self, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> FittedPolynomial:
        """Return what was fitted from its state."""
        low, high = (float(bound) for bound in fields["span"])
        inputs, degree = Inputs.from_dict(fields["inputs"]), int(fields["degree"])
        coefficients = np.asarray(arrays["coefficients"], np.float64)
        return FittedPolynomial(inputs, degree, bool(fields["logs"]), coefficients, (low, high))


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
