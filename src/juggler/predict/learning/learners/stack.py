"""A blend of the trees and the network on roofline ratios, by what each is worth on rows it did not see.

Trees cut, the network bends: their errors are partly each other's opposite. The share of each is chosen on
predictions out of fold, so that no member is weighed by rows that it learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from juggler.arrays import Arrays, Floats
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import LEARNERS, Epoch, Fitted, FittedState, SampleLearner, Training
from juggler.predict.learning.learners.roofline_trees import RooflineTrees
from juggler.predict.learning.scores import mape
from juggler.predict.learning.splits import folds
from juggler.predict.learning.state import joined, part

_TREES, _NET, _FOLDS = "roofline_trees", "roofline_net", 3
_SHARES = np.linspace(0.0, 1.0, 21)


@dataclass(frozen=True)
class FittedStack(FittedState):
    """A blend of logs.

    Attributes:
        trees: what the trees learned.
        net: what the network learned.
        share: of the trees, 0 to 1.
        history: the network's errors by epoch.
    """

    trees: Fitted
    net: Fitted
    share: float
    history: tuple[Epoch, ...] = ()

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`."""
        return _blend(self.trees.predict(table), self.net.predict(table), self.share)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Return JSON values and arrays."""
        (trees, tree_arrays), (net, net_arrays) = self.trees.state(), self.net.state()
        fields = {"trees": trees, "net": net, "share": self.share}
        return fields, joined({"trees": tree_arrays, "net": net_arrays})


@dataclass(frozen=True)
class Stack(SampleLearner[FittedStack]):
    """Trees and a network, blended out of fold."""

    name: str = "stack"
    summary: str = "a blend of roofline_trees and roofline_net, shares chosen out of fold"

    def learn(self, table: KernelTable, target: Floats, how: Training) -> FittedStack:
        """Learn."""
        net = LEARNERS.get(_NET)
        trees = RooflineTrees().fit(table, target, seed=how.seed, validation=how.validation)
        how.step(1, _FOLDS + 2)
        fitted_net = net.fit(table, target, seed=how.seed, validation=how.validation)
        how.step(2, _FOLDS + 2)
        by_trees, by_net = np.empty(len(table)), np.empty(len(table))
        # In the folds one booster of the settings already chosen stands for all: only its share is sought.
        light = RooflineTrees(members=1, candidates=(trees.chosen,))
        for number, (train, held) in enumerate(folds(len(table), _FOLDS, seed=how.seed), 3):
            rows, others = table.take(train), table.take(held)
            by_trees[held] = light.fit(rows, target[train], seed=how.seed).predict(others)
            by_net[held] = net.fit(rows, target[train], seed=how.seed).predict(others)
            how.step(number, _FOLDS + 2)
        errors = [mape(target, _blend(by_trees, by_net, float(share))) for share in _SHARES]
        return FittedStack(trees, fitted_net, float(_SHARES[int(np.argmin(errors))]), fitted_net.history)

    def restore(self, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> FittedStack:
        """Return what was fitted from its state."""
        trees = LEARNERS.get(_TREES).restore(fields["trees"], part(arrays, "trees"))
        net = LEARNERS.get(_NET).restore(fields["net"], part(arrays, "net"))
        return FittedStack(trees, net, float(fields["share"]))


def _blend(by_trees: Floats, by_net: Floats, share: float) -> Floats:
    blended: Floats = np.exp(share * np.log(by_trees) + (1.0 - share) * np.log(by_net))
    return blended


LEARNER = Stack()
