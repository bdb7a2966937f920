"""A Gaussian process with a Matern 5/2 kernel: smooth between samples, its mean far from all of them.

Width, variance and noise are those under which the samples are likeliest, of a small grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WIDTHS, VARIANCES, NOISES = (0.5, 1.0, 2.0, 4.0), (0.01, 0.03, 0.1), (0.001, 0.003, 0.01, 0.03)
MOST_ROWS = 1200  # a fit takes time with their cube; of more, so many are drawn
SMALLEST = 1e-6  # of a column's deviation: below, it says nothing


@dataclass(frozen=True, eq=False)
class Process:
    """What was fitted.

    Attributes:
        middle: of each column, `[columns]`.
        scale: that columns are multiplied by.
        rows: scaled, `[n, columns]`.
        weights: of the rows, `[n]`.
        mean: far from all rows.
        width: of the kernel.
    """

    middle: Floats
    scale: Floats
    rows: Floats
    weights: Floats
    mean: float
    width: float

    @classmethod
    def fit(cls, matrix: Floats, target: Floats, *, seed: int = 0) -> Process:
        """Fit to rows `[n, columns]` and answers `[n]`."""
        if len(target) > MOST_ROWS:
            some = np.sort(np.random.default_rng(seed).permutation(len(target))[:MOST_ROWS])
            matrix, target = matrix[some], target[some]
        middle, spread = matrix.mean(axis=0), matrix.std(axis=0)
        scale = np.where(spread > SMALLEST, 1.0 / np.maximum(spread, SMALLEST), 0.0)
        scale /= np.sqrt(max(1, matrix.shape[1]))
        rows, mean = (matrix - middle) * scale, float(np.median(target))
        _, width, weights = max(_likelihoods(rows, target - mean), key=lambda found: found[0])
        return cls(middle, scale, rows, weights, mean, width)

    def predict(self, matrix: Floats) -> Floats:
        """Return the answer to each row, `[n]`."""
        answer: Floats = self.mean + _matern((matrix - self.middle) * self.scale, self.rows, self.width) @ (
            self.weights
        )
        return answer

    def state(self) -> tuple[dict[str, Any], dict[str, Floats]]:
        """Return JSON values and arrays."""
        names = ("middle", "scale", "rows", "weights")
        return {"mean": self.mean, "width": self.width}, {name: getattr(self, name) for name in names}

    @classmethod
    def restore(cls, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Process:
        """Return what was fitted from its state."""
        names = ("middle", "scale", "rows", "weights")
        middle, scale, rows, weights = (np.asarray(arrays[name], np.float64) for name in names)
        return cls(middle, scale, rows, weights, float(fields["mean"]), float(fields["width"]))


def _matern(some: Floats, others: Floats, width: float) -> Floats:
    squares = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2.0 * some @ others.T
    distance = np.sqrt(5.0 * np.maximum(squares, 0.0)) / width
    kernel: Floats = (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)
    return kernel


def _likelihoods(rows: Floats, target: Floats) -> list[tuple[float, float, Floats]]:
    """Return the log likelihood of each setting of the grid, its width, and the weights of the rows."""
    from scipy.linalg import cho_solve, cholesky  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy

    found = []
    for width in WIDTHS:
        near = _matern(rows, rows, width)
        for variance, noise in product(VARIANCES, NOISES):
            root = cholesky(variance * near + noise * np.eye(len(target)), lower=True, check_finite=False)
            solved = cho_solve((root, True), target, check_finite=False)
            likelihood = -0.5 * float(target @ solved) - float(np.log(np.diag(root)).sum())
            found.append((likelihood, width, variance * solved))
    return found
