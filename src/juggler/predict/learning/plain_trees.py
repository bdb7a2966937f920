"""Boosted trees on the paper's features, of the latency as it is or of its log: what XGBoost does unaided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from juggler.arrays import Arrays, Floats
from juggler.nouns import Progress, ReportProgress
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.boosting import Boosters, Settings, best_settings, boost
from juggler.predict.learning.features import Features
from juggler.predict.learning.learner import Epoch, Validation, check_target, choosing_rows

_CANDIDATES = tuple(Settings(depth=depth, rate=0.1, rounds=800, columns=0.8) for depth in (4, 6, 8))


@dataclass(frozen=True)
class FittedPlainTrees:
    """What `PlainTrees` learned.

    Attributes:
        features: the columns.
        boosters: of the latency, or of its log.
        logs: whether of its log.
        least_ms: below which nothing is predicted: half of the least latency seen.
        settings: those chosen.
        history: empty.
    """

    features: Features
    boosters: Boosters
    logs: bool
    least_ms: float
    settings: dict[str, Any]
    history: tuple[Epoch, ...] = ()

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`."""
        answer = self.boosters.predict(self.features.matrix(table))
        return np.maximum(np.exp(answer) if self.logs else answer, self.least_ms)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Return JSON values and arrays."""
        fields = {"features": self.features.to_dict(), "logs": self.logs, "least_ms": self.least_ms}
        return {**fields, "settings": self.settings}, self.boosters.arrays()


@dataclass(frozen=True)
class PlainTrees:
    """XGBoost with depth and rounds chosen on validation."""

    name: str
    summary: str
    logs: bool

    def fit(
        self,
        table: KernelTable,
        target_ms: Floats,
        *,
        seed: int = 0,
        progress: ReportProgress | None = None,
        validation: Validation | None = None,
    ) -> FittedPlainTrees:
        """Learn; see `juggler.predict.learning.learner.Learner.fit`."""
        target = check_target(table, target_ms)
        features = Features.fit("paper", table)
        matrix, goal = features.matrix(table), self._goal(target)
        rows, answers, others, held = choosing_rows(table, target, validation, seed)
        apart = features.matrix(others), self._goal(held)
        settings = best_settings(features.matrix(rows), self._goal(answers), apart, _CANDIDATES, seed=seed)
        content, _, _ = boost(matrix, goal, settings, seed=seed)
        if progress is not None:
            progress(Progress("fit", 1, 1))
        least = float(target.min()) / 2.0
        return FittedPlainTrees(features, Boosters((content,)), self.logs, least, asdict(settings))

    def restore(self, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> FittedPlainTrees:
        """Return what was fitted from its state."""
        features = Features.from_dict(fields["features"])
        boosters, least = Boosters.from_arrays(arrays), float(fields["least_ms"])
        return FittedPlainTrees(features, boosters, bool(fields["logs"]), least, dict(fields["settings"]))

    def _goal(self, target: Floats) -> Floats:
        return np.log(target) if self.logs else target
