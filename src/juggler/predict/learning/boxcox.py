"""Box-Cox and z-scores, fitted on training rows alone (appendices C and D of ResPerfNet).

The paper's Eq. 10 misprints the transform; it is `(x^lambda - 1) / lambda`, and `ln x` at lambda 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LAMBDAS = np.round(np.arange(-2.0, 2.0001, 0.05), 2)


def box_cox(values: Floats, power: float) -> Floats:
    """Transform positive values `[n]` by Box and Cox's lambda."""
    logs = np.log(values)
    changed: Floats = logs if power == 0.0 else np.expm1(power * logs) / power
    return changed


def fit_power(values: Floats) -> float:
    """Return the lambda, of -2 to 2 in steps of 0.05, under which positive values `[n]` look most normal.

    That is the one of the highest profile likelihood (Box and Cox 1964, section 3). Constant values need no
    transform: lambda 1.
    """
    logs = np.log(values)
    if float(np.ptp(logs)) == 0.0:
        return 1.0
    scores = [_likelihood(values, float(power), logs) for power in LAMBDAS]
    return float(LAMBDAS[int(np.argmax(scores))])


def _likelihood(values: Floats, power: float, logs: Floats) -> float:
    variance = float(np.var(box_cox(values, power)))
    return (power - 1.0) * float(logs.mean()) - 0.5 * float(np.log(max(variance, 1e-300)))


def fit_z(matrix: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation `[columns]` of a matrix `[rows, columns]`; a constant one has 1."""
    mean, deviation = matrix.mean(0), matrix.std(0)
    return mean, np.where(deviation > 1e-12, deviation, 1.0)
