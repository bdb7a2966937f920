"""Boosted trees on the log of the ratio to a fitted roofline.

Trees alone answer with a constant beyond what they saw; the roofline goes on. And they need not learn that
twice the work takes twice the time: the ratio says how well a kernel uses the device, which varies little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from juggler.arrays import Floats
from juggler.predict.kernels.roofline import Roofline
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.boosting import Boosters, Settings, best_settings, boost
from juggler.predict.learning.features import Features
from juggler.predict.learning.learner import FittedState, SampleLearner, Training

# Depth and rate trade off against each other little here; what counts is that several are averaged.
_CANDIDATES = (
    Settings(depth=4, rate=0.08, rounds=1000),
    Settings(depth=6, rate=0.08, rounds=800),
)
_MEMBERS = 3


@dataclass(frozen=True)
class FittedRooflineTrees(FittedState):
    """What `RooflineTrees` learned.

    Attributes:
        features: the columns.
        roofline: the time by which the boosters' answers are multiplied.
        boosters: of the log of the ratio.
        span: least and largest log ratio seen; answers are kept to within it.
        settings: those chosen.
    """

    features: Features
    roofline: Roofline
    boosters: Boosters
    span: tuple[float, float]
    settings: dict[str, Any]

    renamed: ClassVar[Mapping[str, str]] = {"boosters": ""}

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`."""
        ratio = np.clip(self.boosters.predict(self.features.matrix(table)), *self.span)
        predicted: Floats = self.roofline.latency_ms(table) * np.exp(ratio)
        return predicted

    @property
    def chosen(self) -> Settings:
        """Return the settings that were chosen."""
        return Settings(**self.settings)


@dataclass(frozen=True)
class RooflineTrees(SampleLearner[FittedRooflineTrees]):
    """Several boosters on the log of the ratio to a roofline, depth and rounds chosen on validation.

    Attributes:
        members: boosters that are averaged, each of another seed.
        candidates: settings to choose from.
    """

    name: str = "roofline_trees"
    summary: str = "boosted trees of the log of the ratio to a fitted roofline, on rich features"
    members: int = _MEMBERS
    candidates: tuple[Settings, ...] = _CANDIDATES
    fitted = FittedRooflineTrees

    def learn(self, table: KernelTable, target: Floats, how: Training) -> FittedRooflineTrees:
        """Learn."""
        settings = self._chosen(table, target, how)
        how.step(1, self.members + 1)
        roofline, features = Roofline.fit(table, target), Features.fit("rich", table)
        matrix, goal = features.matrix(table), np.log(target / roofline.latency_ms(table))
        contents = []
        for member in range(self.members):
            content, _, _ = boost(matrix, goal, settings, seed=how.seed * 1000 + member)
            contents.append(content)
            how.step(member + 2, self.members + 1)
        span = float(goal.min()), float(goal.max())
        return FittedRooflineTrees(features, roofline, Boosters(tuple(contents)), span, asdict(settings))

    def _chosen(self, table: KernelTable, target: Floats, how: Training) -> Settings:
        if len(self.candidates) == 1:
            return self.candidates[0]
        rows, target, others, other_target = how.choosing_rows(table, target)
        roofline, features = Roofline.fit(rows, target), Features.fit("rich", rows)
        goal = np.log(target / roofline.latency_ms(rows))
        other_goal = np.log(other_target / roofline.latency_ms(others))
        held = features.matrix(others), other_goal
        best = best_settings(features.matrix(rows), goal, held, self.candidates, seed=how.seed)
        # The trees of all rows can use a few more rounds than those of the part.
        return replace(best, rounds=max(10, round(best.rounds * 1.1)))


LEARNER = RooflineTrees()
