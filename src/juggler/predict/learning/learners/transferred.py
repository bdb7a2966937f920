"""What another device's learner knows, corrected by few samples of a new one.

What a kernel takes on one device says most of what it takes on another: which shapes waste, which algorithms
win. Two starts are corrected and averaged: the source's prediction, and that times the ratio of a roofline
fitted to the new samples to one fitted to the source's predictions for the same kernels. Small trees on the
log of what is left, few leaves and many members, learn the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from juggler.arrays import Arrays, Floats
from juggler.errors import ConfigError
from juggler.predict.kernels.roofline import Roofline
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.boosting import Boosters, Settings, boost
from juggler.predict.learning.features import Features
from juggler.predict.learning.learner import (
    Fitted,
    FittedState,
    NeedsSource,
    SampleLearner,
    Training,
    check_target,
    pack,
    unpack,
)
from juggler.predict.learning.state import joined, part

_SETTINGS = tuple(
    Settings(depth=depth, rate=0.05, rounds=rounds, columns=0.3, leaf=5.0)
    for depth, rounds in ((2, 200), (3, 150), (4, 120))
)


@dataclass(frozen=True)
class FittedTransfer(FittedState):
    """A predictor of one device, corrected for another.

    Attributes:
        source_name: the source's learner.
        source: what it learned of the first device.
        features: the columns that the corrections see, besides the logs of the two starts.
        old: roofline of the source's predictions.
        new: roofline of the new samples.
        plain: corrections of the source's prediction.
        scaled: corrections of that times the ratio of the rooflines.
    """

    source_name: str
    source: Fitted
    features: Features
    old: Roofline
    new: Roofline
    plain: Boosters
    scaled: Boosters

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]` on the new device."""
        first, second = _starts(self.source, self.old, self.new, table)
        matrix = _matrix(self.features, first, second, table)
        log_first = np.log(first) + self.plain.predict(matrix)
        log_second = np.log(second) + self.scaled.predict(matrix)
        predicted: Floats = np.exp((log_first + log_second) / 2.0)
        return predicted

    apart = ("source_name", "source")

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Return JSON values and arrays."""
        packed, source_arrays = pack(self.source_name, self.source)
        fields, arrays = super().state()
        return fields | {"source": packed}, arrays | joined({"source": source_arrays})

    @classmethod
    def restored(cls, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """Return the values of all fields."""
        packed = fields["source"]
        source = {"source_name": str(packed["learner"]), "source": unpack(packed, part(arrays, "source"))}
        return super().restored(fields, arrays) | source


@dataclass(frozen=True)
class Transferred(SampleLearner[FittedTransfer], NeedsSource):
    """Correct a source, which is another learner's name and what it learned of another device."""

    name: str = "transferred"
    summary: str = "another device's learner, corrected by small trees on few samples of this one"
    source_name: str = ""
    source: Fitted | None = None
    fitted = FittedTransfer

    def learn(self, table: KernelTable, target: Floats, how: Training) -> FittedTransfer:
        """Learn."""
        if self.source is None:
            remedy = "Name one: juggler.predict.learning.transfer(name, source, table, target_ms)"
            raise ConfigError(f"fit the learner {self.name}", "no source to correct", remedy)
        fitted = transfer(self.source_name, self.source, table, target, seed=how.seed)
        how.step(1, 1)
        return fitted


def transfer(
    source_name: str, source: Fitted, table: KernelTable, target_ms: npt.ArrayLike, *, seed: int = 0
) -> FittedTransfer:
    """Correct a source by samples of a new device; 50 to 200 are enough to be of use.

    Args:
        source_name: name of the source's learner.
        source: what it learned of another device.
        table: kernels timed on the new device.
        target_ms: what they took there, `[n]`.
        seed: of the corrections.

    Raises:
        DataError: fewer than 8 samples, or latencies that are not above 0.
        ConfigError: kernels of another family than the source's.
    """
    target = check_target(table, target_ms)
    features = Features.fit("rich", table)
    old, new = Roofline.fit(table, source.predict(table)), Roofline.fit(table, target)
    first, second = _starts(source, old, new, table)
    matrix = _matrix(features, first, second, table)
    plain, scaled = (_correct(matrix, np.log(target / start), seed) for start in (first, second))
    return FittedTransfer(source_name, source, features, old, new, plain, scaled)


def _starts(source: Fitted, old: Roofline, new: Roofline, table: KernelTable) -> tuple[Floats, Floats]:
    first = source.predict(table)
    return first, first * new.latency_ms(table) / old.latency_ms(table)


def _matrix(features: Features, first: Floats, second: Floats, table: KernelTable) -> Floats:
    return np.column_stack([features.matrix(table), np.log(first), np.log(second / first)])


def _correct(matrix: Floats, goal: Floats, seed: int) -> Boosters:
    """Fit small boosters to the log of what a start leaves, around its median."""
    members = [
        boost(matrix, goal, settings, seed=seed * 1000 + number)[0]
        for number, settings in enumerate(_SETTINGS * 2)
    ]
    return Boosters(tuple(members))


LEARNER = Transferred()
