"""A Gaussian process with a Matern 5/2 kernel: smooth between samples, its mean far from all of them.

Each column has a length of its own over which answers change (automatic relevance determination; Rasmussen
and Williams, Gaussian Processes for Machine Learning, 2006, 5.1). Lengths, variance and noise are those under
which the samples are likeliest, held near what is believed beforehand: few samples tell of few columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from juggler.arrays import Floats
from juggler.predict.learning.state import Stateful

MOST_ROWS = 1200  # a fit takes time with their cube; of more, so many are drawn
CHOOSING_ROWS = 400  # lengths are sought on so many of these
STEPS = 60
SMALLEST = 1e-6  # of a column's deviation: below, it says nothing
# Logs of a length in deviations, of the variance and of the noise: what is believed, how firmly, and bounds.
LENGTH, VARIANCE, NOISE = (
    (1.5, 1.0, -1.5, 6.0),
    (np.log(0.05), 1.5, -9.0, 1.0),
    (np.log(0.003), 1.0, -9.0, -2.0),
)
IMPOSSIBLE = 1e10  # what settings cost whose matrix has no root


@dataclass(frozen=True, eq=False)
class Process(Stateful):
    """What was fitted.

    Attributes:
        middle: of each column, `[columns]`.
        scale: that columns are multiplied by: 1 over deviation and length.
        rows: scaled, `[n, columns]`.
        weights: of the rows, `[n]`.
        mean: far from all rows.
    """

    middle: Floats
    scale: Floats
    rows: Floats
    weights: Floats
    mean: float

    @classmethod
    def fit(cls, matrix: Floats, target: Floats, *, seed: int = 0, most_rows: int = MOST_ROWS) -> Process:
        """Fit to rows `[n, columns]` and answers `[n]`, of which no more than so many are taken."""
        order = np.random.default_rng(seed).permutation(len(target))
        some = np.sort(order[:most_rows])
        middle, spread = matrix[some].mean(axis=0), matrix[some].std(axis=0)
        scale = np.where(spread > SMALLEST, 1.0 / np.maximum(spread, SMALLEST), 0.0)
        rows, mean = (matrix[some] - middle) * scale, float(np.median(target[some]))
        few = np.isin(some, order[:CHOOSING_ROWS])
        logs = _likeliest(rows[few], target[some][few] - mean)
        scale, rows = scale / np.exp(logs[:-2]), rows / np.exp(logs[:-2])
        return cls(middle, scale, rows, _weights(rows, target[some] - mean, *np.exp(logs[-2:])), mean)

    def predict(self, matrix: Floats) -> Floats:
        """Return the answer to each row, `[n]`."""
        distance = _distance((matrix - self.middle) * self.scale, self.rows)
        answer: Floats = self.mean + _matern(distance) @ self.weights
        return answer


def _distance(some: Floats, others: Floats) -> Floats:
    """Return the square root of 5 times the distance of each row to each other, `[n, m]`."""
    squares = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2.0 * some @ others.T
    distance: Floats = np.sqrt(5.0 * np.maximum(squares, 0.0))
    return distance


def _matern(distance: Floats) -> Floats:
    kernel: Floats = (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)
    return kernel


def _weights(rows: Floats, target: Floats, variance: float, noise: float) -> Floats:
    """Return what each row's kernel is multiplied by, `[n]`."""
    from scipy.linalg import solve  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy

    covariance = variance * _matern(_distance(rows, rows)) + noise * np.eye(len(target))
    weights: Floats = variance * solve(covariance, target, assume_a="pos", check_finite=False)
    return weights


def _likeliest(rows: Floats, target: Floats) -> Floats:
    """Return the logs of the lengths, the variance and the noise, `[columns + 2]`."""
    from scipy.optimize import minimize  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy

    believed, firm, low, high = np.array([*[LENGTH] * rows.shape[1], VARIANCE, NOISE]).T

    def cost(logs: Floats) -> tuple[float, Floats]:
        value, slope = _surprise(rows, target, logs)
        off = (logs - believed) / firm
        return value + 0.5 * float(off @ off), slope + off / firm

    bounds = list(zip(low, high, strict=True))
    options = {"maxiter": STEPS}
    solution = minimize(cost, believed, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(solution.x, np.float64)


def _surprise(rows: Floats, target: Floats, logs: Floats) -> tuple[float, Floats]:
    """Return minus the log likelihood of the answers but for a constant, and its slope in the logs."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve  # noqa: PLC0415

    scaled, (variance, noise) = rows / np.exp(logs[:-2]), np.exp(logs[-2:])
    distance = _distance(scaled, scaled)
    fall = np.exp(-distance)
    near = variance * (1.0 + distance + distance**2 / 3.0) * fall
    try:
        root = cho_factor(near + noise * np.eye(len(target)), lower=True, check_finite=False)
    except LinAlgError:
        return IMPOSSIBLE, np.zeros_like(logs)
    solved = cho_solve(root, target, check_finite=False)
    value = 0.5 * float(target @ solved) + float(np.log(np.diag(root[0])).sum())
    blame = 0.5 * (cho_solve(root, np.eye(len(target)), check_finite=False) - np.outer(solved, solved))
    # By the squared distance of two rows the kernel falls with -5/6 (1 + d) exp(-d).
    pull = blame * (-5.0 / 6.0 * variance) * (1.0 + distance) * fall
    squares = 2.0 * (
        (pull.sum(axis=1)[:, None] * scaled**2).sum(axis=0) - (scaled * (pull @ scaled)).sum(axis=0)
    )
    ends = [float((blame * near).sum()), noise * float(np.trace(blame))]
    return value, np.concatenate([-2.0 * squares, ends])
