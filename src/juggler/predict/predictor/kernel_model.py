"""What is known of one family on one device: a fitted learner a phase, and the range of what it has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from juggler.arrays import Arrays, Floats
from juggler.nouns import Noun
from juggler.predict.kernels.spec import CATEGORIES, KernelSpec
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import Fitted, pack, unpack
from juggler.predict.learning.state import joined, part

EXEC, PRE, POST = "exec", "pre", "post"
PHASES = (EXEC, PRE, POST)
SPANNED = (
    *("batch", "in_channels", "out_channels", "height", "width", "groups", "kernel_height", "kernel_width"),
    *("stride_height", "stride_width", "dilation_height", "dilation_width", "macs", "bytes"),
)
SLACK = 1.001  # numbers that are equal but for rounding are not outside


@dataclass(frozen=True)
class Range(Noun):
    """What samples spanned.

    Attributes:
        lowest: of each number, by column.
        highest: likewise.
        words: values of each category, by column; `cold` among them as `0` and `1`.
        samples: how many there were.
    """

    lowest: dict[str, float]
    highest: dict[str, float]
    words: dict[str, tuple[str, ...]]
    samples: int

    @classmethod
    def of(cls, table: KernelTable) -> Range:
        """Return what a table spans."""
        words = {name: tuple(sorted({str(word) for word in table[name]})) for name in CATEGORIES}
        words["cold"] = tuple(sorted({str(int(value)) for value in table["cold"]}))
        return cls(
            {name: float(table[name].min()) for name in SPANNED},
            {name: float(table[name].max()) for name in SPANNED},
            words,
            len(table),
        )

    def outside(self, table: KernelTable) -> list[tuple[str, ...]]:
        """Return, for each row, the names of its numbers and categories that were not sampled."""
        faults: list[list[str]] = [[] for _ in range(len(table))]
        for name in SPANNED:
            column = table[name]
            beyond = (column < self.lowest[name] / SLACK) | (column > self.highest[name] * SLACK)
            for row in np.flatnonzero(beyond):
                faults[row].append(name)
        for name in CATEGORIES:
            for row in np.flatnonzero(~np.isin(table[name], self.words[name])):
                faults[row].append(f"{name} {table[name][row]}".strip())
        return [tuple(names) for names in faults]

    @property
    def has_cold(self) -> bool:
        """Say whether kernels with their weights out of the caches were sampled."""
        return "1" in self.words["cold"]


@dataclass(frozen=True)
class KernelModel:
    """What predicts the kernels of one family.

    Attributes:
        family: one of `FAMILIES`.
        learner: the name of what was fitted.
        phases: what was fitted, by phase; `exec` always.
        sampled: what it has seen.
        scale: what recalibration multiplies an execution by.
        power: what it raises it to first, about the millisecond.
    """

    family: str
    learner: str
    phases: Mapping[str, Fitted]
    sampled: Range
    scale: float = 1.0
    power: float = 1.0
    learners: Mapping[str, str] = field(default_factory=dict)

    def predict(self, specs: Sequence[KernelSpec], phase: str = EXEC) -> Floats:
        """Return milliseconds `[n]`, corrected for this machine where it was recalibrated."""
        latencies = self.phases[phase].predict(KernelTable.of(specs))
        corrected: Floats = self.scale * latencies**self.power
        return corrected

    def outside(self, specs: Sequence[KernelSpec]) -> list[tuple[str, ...]]:
        """Return what of each kernel was not sampled."""
        return self.sampled.outside(KernelTable.of(specs))

    def to_state(self) -> tuple[dict[str, Any], Arrays]:
        """Return JSON values and arrays; without the correction, which belongs to another machine."""
        fields: dict[str, Any] = {"learner": self.learner, "sampled": self.sampled.to_dict(), "phases": {}}
        arrays = {}
        for phase, fitted in self.phases.items():
            name = self.learners.get(phase, self.learner)
            fields["phases"][phase], arrays[phase] = pack(name, fitted)
        return fields, joined(arrays)

    @classmethod
    def from_state(cls, family: str, fields: Mapping[str, Any], arrays: Arrays) -> KernelModel:
        """Return what `to_state` gave.

        Raises:
            ArtefactError: it is damaged, or of another release.
            KeyError: a field is missing.
        """
        packed = {phase: fields["phases"][phase] for phase in PHASES if phase in fields["phases"]}
        phases = {phase: unpack(fields, part(arrays, phase)) for phase, fields in packed.items()}
        learners = {phase: str(fields["learner"]) for phase, fields in packed.items()}
        sampled = Range.from_dict(fields["sampled"])
        model = cls(family, str(fields["learner"]), phases, sampled, learners=learners)
        model._try_out()
        return model

    def _try_out(self) -> None:
        """Predict one kernel in every phase: parts of a file that do not fit together are found here.

        Raises:
            ValueError: there is no model of executions, or an answer is no duration.
        """
        table = KernelTable(self.family, {"batch": [1.0]})
        self.sampled.outside(table)
        answers = {phase: float(fitted.predict(table)[0]) for phase, fitted in self.phases.items()}
        wrong = [phase for phase, ms in answers.items() if not 0.0 < ms < float("inf")]
        if wrong or EXEC not in answers or self.sampled.has_cold not in (True, False):
            raise ValueError(f"the kernels of the family {self.family} take {answers} ms")
