"""What networks see: features, Box-Cox where the paper has it, z-scores; all fitted on training rows.

Box-Cox and z-scores are appendices C and D of ResPerfNet. Its Eq. 10 misprints the transform; it is
`(x^lambda - 1) / lambda`, and `ln x` at lambda 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from juggler.arrays import Floats
from juggler.nouns import Noun
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.features import BOX_COX, Features

LAMBDAS = np.round(np.arange(-2.0, 2.0001, 0.05), 2)
_FARTHEST = 6.0  # standard deviations: beyond, a network's answer would be anybody's guess


@dataclass(frozen=True)
class Inputs(Noun):
    """Features as a network takes them.

    Attributes:
        features: the columns.
        powers: Box-Cox's lambda by column; columns not named stay as they are.
        mean: of each column, after Box-Cox.
        deviation: standard deviation of each.
    """

    features: Features
    powers: dict[str, float]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def fit(cls, kind: str, table: KernelTable, *, transform: bool = False) -> Self:
        """Fit on training rows.

        Args:
            kind: of features.
            table: the training rows.
            transform: apply Box-Cox to matrix size and kernel size, as the paper does for ResPerfNet.
        """
        features = Features.fit(kind, table)
        named = dict(zip(features.names, features.matrix(table).T, strict=False))
        powers = {name: fit_power(named[name]) for name in BOX_COX if transform and name in named}
        mean, deviation = fit_z(_transformed(features, powers, table))
        return cls(features, powers, tuple(map(float, mean)), tuple(map(float, deviation)))

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return len(self.mean)

    def matrix(self, table: KernelTable) -> npt.NDArray[np.float32]:
        """Return float32 `[n, columns]`.

        Raises:
            ConfigError: kernels of another family.
        """
        scores = (_transformed(self.features, self.powers, table) - self.mean) / self.deviation
        return np.clip(scores, -_FARTHEST, _FARTHEST).astype(np.float32)


def _transformed(features: Features, powers: dict[str, float], table: KernelTable) -> Floats:
    from scipy.special import boxcox  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy

    matrix = features.matrix(table)
    for column, name in enumerate(features.names):
        if name in powers:
            matrix[:, column] = boxcox(matrix[:, column], powers[name])
    return matrix


def fit_power(values: Floats) -> float:
    """Return the lambda, of -2 to 2 in steps of 0.05, under which positive values `[n]` look most normal.

    That is the one of the highest profile likelihood (Box and Cox 1964, section 3). Constant values need no
    transform: lambda 1.
    """
    from scipy.stats import boxcox_llf  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy

    if float(np.ptp(values)) == 0.0:
        return 1.0
    return float(LAMBDAS[int(np.argmax([boxcox_llf(power, values) for power in LAMBDAS]))])


def fit_z(matrix: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation `[columns]` of a matrix `[rows, columns]`; a constant one has 1."""
    mean, deviation = matrix.mean(0), matrix.std(0)
    return mean, np.where(deviation > 1e-12, deviation, 1.0)
