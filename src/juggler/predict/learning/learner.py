"""Learners: from timed kernels of one family to a function that gives the milliseconds of others.

One file in `juggler.predict.learning.learners` is one learner, under the one name `LEARNER`. What a fit
gives is kept as plain JSON and arrays, never as a pickle, so that it reads the same in years and runs
nobody's code.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from juggler.arrays import Arrays, Floats
from juggler.errors import ArtefactError, DataError
from juggler.files import write_atomically
from juggler.nouns import Progress, ReportProgress, ignore_progress
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.boosting import check_boosters
from juggler.predict.learning.splits import random_split
from juggler.predict.learning.state import Stateful
from juggler.reading.arrays import read_npz
from juggler.reading.documents import parse_object
from juggler.reading.request import Request
from juggler.registry import Registry

Validation = tuple[KernelTable, Floats]

FORMAT = 3  # up to 2, counts and processes meant something else: unit costs would be of the wrong work
FEWEST = 8


@dataclass(frozen=True)
class Epoch:
    """The errors after one pass over the training rows, as the paper's Fig. 2 draws them."""

    epoch: int
    train_mape: float
    train_rmse_ms: float
    validation_mape: float | None
    validation_rmse_ms: float | None


class Fitted(Protocol):
    """What a learner has learned of one family's kernels on one device."""

    @property
    def history(self) -> tuple[Epoch, ...]:
        """Return the errors by epoch; empty where a fit has no epochs, and after a reload."""

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`, finite and above 0.

        Raises:
            ConfigError: kernels of another family.
        """

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Return all that `Learner.restore` needs: JSON values, and arrays without objects."""


class Learner(Protocol):
    """One way to learn latencies."""

    @property
    def name(self) -> str:
        """Return the name of its file."""

    @property
    def summary(self) -> str:
        """Return in one line what it is."""

    def fit(
        self,
        table: KernelTable,
        target_ms: Floats,
        *,
        seed: int = 0,
        progress: ReportProgress | None = None,
        validation: Validation | None = None,
    ) -> Fitted:
        """Learn; settings are chosen on `validation`, or on a part of the training rows where there is none.

        Raises:
            DataError: too few kernels, or latencies that are missing, not finite or not above 0.
            Unavailable: a package that it is fitted with is not installed.
        """

    def restore(self, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Fitted:
        """Return what was fitted from its state; it predicts the same."""


class FittedState(Stateful):
    """Base of what the house's own learners give, beside networks."""

    history: tuple[Epoch, ...] = ()

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`; see `Fitted.predict`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Training:
    """How a learner learns.

    Attributes:
        seed: of everything random.
        report: called with steps done and in all.
        validation: kernels and latencies to choose settings by, where there are any.
    """

    seed: int
    report: ReportProgress
    validation: Validation | None

    def step(self, done: int, total: int, unit: str = "") -> None:
        """Report how much of the fit is done."""
        self.report(Progress("fit", done, total, unit))

    def choosing_rows(
        self, table: KernelTable, target: Floats
    ) -> tuple[KernelTable, Floats, KernelTable, Floats]:
        """Return kernels and latencies to try settings on, and to choose by: a fifth where none are given.

        Raises:
            DataError: latencies to choose by that are missing, not finite or not above 0.
        """
        if self.validation is not None:
            others, answers = self.validation
            return table, target, others, check_target(others, answers)
        train, held = random_split(len(table), seed=self.seed)
        return table.take(train), target[train], table.take(held), target[held]


F = TypeVar("F", bound=FittedState)


class SampleLearner(Generic[F]):
    """Base of the house's own learners: checks what is to be learned, and reads what was.

    Attributes:
        fitted: the class of what it gives.
    """

    fitted: type[F]

    def fit(
        self,
        table: KernelTable,
        target_ms: Floats,
        *,
        seed: int = 0,
        progress: ReportProgress | None = None,
        validation: Validation | None = None,
    ) -> F:
        """Learn; see `Learner.fit`."""
        how = Training(seed, progress or ignore_progress, validation)
        return self.learn(table, check_target(table, target_ms), how)

    def learn(self, table: KernelTable, target: Floats, how: Training) -> F:
        """Learn latencies `[n]` that were checked."""
        raise NotImplementedError

    def restore(self, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> F:
        """Return what was fitted from its state; see `Learner.restore`."""
        return self.fitted.restore(fields, arrays)


class NeedsSource:
    """Base of learners that correct what another has learned: samples alone teach them nothing."""


LEARNERS: Registry[Learner] = Registry(
    "learner", "juggler.predict.learning.learners", alias="juggler.learners"
)


def learners_from_samples() -> tuple[str, ...]:
    """Return the names of the learners that learn from samples alone, which can be compared; sorted."""
    return tuple(name for name, learner in LEARNERS if not isinstance(learner, NeedsSource))


def check_target(table: KernelTable, target_ms: npt.ArrayLike) -> Floats:
    """Return latencies `[n]` as float64 once they and the kernels can be learned from.

    Raises:
        DataError: too few kernels, or latencies that are missing, not finite or not above 0.
    """
    target = np.asarray(target_ms, np.float64)
    task = f"learn the latency of {table.family} kernels"
    if len(table) < FEWEST:
        raise DataError(task, f"{len(table)} of them", f"Measure {FEWEST} or more")
    if target.shape != (len(table),):
        raise DataError(task, f"{len(table)} kernels and latencies of shape {target.shape}", "Give one each")
    wrong = ~(np.isfinite(target) & (target > 0.0))
    if wrong.any():
        row = int(np.argmax(wrong))
        problem = f"{int(wrong.sum())} latencies not above 0 ms, the first {target[row]} in row {row}"
        raise DataError(task, problem, "Leave those rows out, or measure them again")
    return target


def pack(name: str, fitted: Fitted) -> tuple[dict[str, Any], Arrays]:
    """Return what was fitted by the learner `name` as JSON values and arrays."""
    fields, arrays = fitted.state()
    return {"format": FORMAT, "learner": name, "fields": fields}, arrays


def unpack(packed: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Fitted:
    """Return what was packed.

    Raises:
        ArtefactError: it is of another format, or damaged.
        ConfigError: no learner has the name.
    """
    if packed.get("format") != FORMAT or not isinstance(packed.get("fields"), Mapping):
        problem = f"format {packed.get('format')!r}, this release reads {FORMAT}"
        raise ArtefactError("read a fitted learner", problem, "Fit it again with this release")
    name, fields = str(packed.get("learner")), packed["fields"]
    try:
        return LEARNERS.get(name).restore(fields, arrays)
    except (KeyError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ArtefactError(f"read a fitted {name}", problem, "It is damaged: fit it again") from error


def save(path: str | Path, name: str, fitted: Fitted) -> Path:
    """Write what was fitted as one `.npz` file, whole or not at all; return the path."""
    packed, arrays = pack(name, fitted)
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(packed, allow_nan=False).encode(), np.uint8)
    np.savez_compressed(buffer, allow_pickle=False, **{**arrays, "json": text})
    return write_atomically(Path(path), buffer.getvalue())


def load(path: str | Path) -> Fitted:
    """Read what `save` wrote.

    Raises:
        ArtefactError: there is no such file, or it is none of ours, or damaged.
    """
    request = Request(f"read {path}", "Name a file that was saved, or fit and save it again")
    arrays = read_npz(Path(path), request)
    if "json" not in arrays:
        raise request.refusal("no fitted learner")
    with request.refusing("fitted learner"):
        check_boosters(arrays)
    return unpack(parse_object(arrays.pop("json").tobytes(), request), arrays)
