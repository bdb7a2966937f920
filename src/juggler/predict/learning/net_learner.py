"""The learner that trains a network by a plan; torch is imported when it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from juggler.errors import Unavailable
from juggler.extras import install_command
from juggler.nouns import ReportProgress
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import Fitted, Validation

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True)
class NetLearner:
    """Train a network.

    Attributes:
        name: of its file.
        summary: one line.
        plan: fields of `juggler.predict.learning.regression_net.NetPlan`.
    """

    name: str
    summary: str
    plan: Mapping[str, Any]

    def fit(
        self,
        table: KernelTable,
        target_ms: npt.NDArray[np.float64],
        *,
        seed: int = 0,
        progress: ReportProgress | None = None,
        validation: Validation | None = None,
    ) -> Fitted:
        """Learn; see `Learner.fit` of `learner`. The plan is fixed: validation is only watched."""
        net = self._module()
        plan = net.NetPlan(**self.plan)
        fitted: Fitted = net.fit_net(
            plan, table, target_ms, seed=seed, progress=progress, validation=validation
        )
        return fitted

    def restore(self, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Fitted:
        """Return what was fitted from its state."""
        fitted: Fitted = self._module().restore_net(fields, arrays)
        return fitted

    def _module(self) -> ModuleType:
        try:
            from juggler.predict.learning import regression_net  # noqa: PLC0415  # it imports torch
        except ImportError as error:
            if error.name is None or error.name.partition(".")[0] != "torch":
                raise
            raise Unavailable(
                f"use the learner {self.name}", "torch is not installed", f"Run: {install_command('train')}"
            ) from error
        return regression_net
