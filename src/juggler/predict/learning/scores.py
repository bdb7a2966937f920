"""How far predictions are from what was measured: the paper's figures, and those that users ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from juggler.arrays import Floats
from juggler.errors import DataError
from juggler.nouns import Noun


@dataclass(frozen=True)
class Scores(Noun):
    """Predicted against measured latencies.

    Attributes:
        n: how many.
        mape: mean of |predicted - measured| / measured, in percent.
        within_5: share of predictions at most 5 % off, in percent.
        within_10: share of them at most 10 % off, in percent.
        rmse_ms: root of the mean squared error.
        mae_ms: mean absolute error.
        spearman: rank correlation, of which 1 means the same order; 0 where either side is constant.
        r_squared: share of the variance of the measured latencies that the predictions explain.
    """

    n: int
    mape: float
    within_5: float
    within_10: float
    rmse_ms: float
    mae_ms: float
    spearman: float
    r_squared: float


def score(measured_ms: npt.ArrayLike, predicted_ms: npt.ArrayLike) -> Scores:
    """Score predictions `[n]` against measured latencies `[n]`.

    Raises:
        DataError: none, unequal lengths, values that are not finite, or a measured one that is not above 0.
    """
    measured, predicted = np.asarray(measured_ms, np.float64), np.asarray(predicted_ms, np.float64)
    if measured.shape != predicted.shape or measured.ndim != 1 or not len(measured):
        problem = f"measured ones of shape {measured.shape}, predicted ones of shape {predicted.shape}"
        raise DataError("score predictions", problem, "Give two lists of one length, not empty")
    if not (np.isfinite(measured) & np.isfinite(predicted) & (measured > 0.0)).all():
        problem = "a latency that is not finite, or a measured one that is not above 0"
        raise DataError("score predictions", problem, "Leave such rows out")
    error = predicted - measured
    relative = np.abs(error) / measured
    total = float(((measured - measured.mean()) ** 2).sum())
    return Scores(
        n=len(measured),
        mape=float(relative.mean() * 100.0),
        within_5=float((relative <= 0.05).mean() * 100.0),
        within_10=float((relative <= 0.10).mean() * 100.0),
        rmse_ms=float(np.sqrt((error**2).mean())),
        mae_ms=float(np.abs(error).mean()),
        spearman=_spearman(measured, predicted),
        r_squared=1.0 - float((error**2).sum()) / total if total > 0.0 else 0.0,
    )


def mape(measured_ms: Floats, predicted_ms: Floats) -> float:
    """Return the mean absolute percentage error, in percent, of arrays `[n]` that are known to be sound."""
    return float((np.abs(predicted_ms - measured_ms) / measured_ms).mean() * 100.0)


def _spearman(measured: Floats, predicted: Floats) -> float:
    """Return the rank correlation, equal values sharing the mean of their ranks."""
    from scipy.stats import spearmanr  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy

    if np.ptp(measured) == 0.0 or np.ptp(predicted) == 0.0:
        return 0.0
    return float(spearmanr(measured, predicted).statistic)
