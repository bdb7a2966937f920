"""Boosted trees on the paper's features, of the latency as it is or of its log: what XGBoost does unaided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from juggler.arrays import Floats
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.boosting import Boosters, Settings, best_settings, boost
from juggler.predict.learning.features import Features
from juggler.predict.learning.learner import FittedState, SampleLearner, Training

_CANDIDATES = tuple(Settings(depth=depth, rate=0.1, rounds=800, columns=0.8) for depth in (4, 6, 8))


@dataclass(frozen=True)
class FittedPlainTrees(FittedState):
    """What `PlainTrees` learned.

    Attributes:
        features: the columns.
        boosters: of the latency, or of its log.
        logs: whether of its log.
        least_ms: below which nothing is predicted: half of the least latency seen.
        settings: those chosen.
    """

    features: Features
    boosters: Boosters
    logs: bool
    least_ms: float
    settings: dict[str, Any]

    renamed: ClassVar[Mapping[str, str]] = {"boosters": ""}

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`."""
        answer = self.boosters.predict(self.features.matrix(table))
        return np.maximum(np.exp(answer) if self.logs else answer, self.least_ms)


@dataclass(frozen=True)
class PlainTrees(SampleLearner[FittedPlainTrees]):
    """XGBoost with depth and rounds chosen on validation."""

    name: str
    summary: str
    logs: bool
    fitted = FittedPlainTrees

    def learn(self, table: KernelTable, target: Floats, how: Training) -> FittedPlainTrees:
        """Learn."""
        features = Features.fit("paper", table)
        matrix, goal = features.matrix(table), self._goal(target)
        rows, answers, others, held = how.choosing_rows(table, target)
        apart = features.matrix(others), self._goal(held)
        settings = best_settings(
            features.matrix(rows), self._goal(answers), apart, _CANDIDATES, seed=how.seed
        )
        content, _, _ = boost(matrix, goal, settings, seed=how.seed)
        how.step(1, 1)
        least = float(target.min()) / 2.0
        return FittedPlainTrees(features, Boosters((content,)), self.logs, least, asdict(settings))

    def _goal(self, target: Floats) -> Floats:
        return np.log(target) if self.logs else target
