"""What a training run did, epoch by epoch, and its log as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from juggler.files import write_atomically


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes:
        epoch: its number, from 1.
        loss: mean training loss over its steps.
        rate: learning rate of its last step.
        duration_s: how long it took, validation included.
        scores: what `validate` returned after it.
    """

    epoch: int
    loss: float
    rate: float
    duration_s: float
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """All epochs of a run, those before it was interrupted included."""

    epochs: tuple[EpochRecord, ...] = ()

    def best(self, score: str) -> EpochRecord:
        """Return the first epoch with the highest value of a score that `validate` returned.

        Raises:
            KeyError: no epoch has that score.
        """
        scored = [record for record in self.epochs if score in record.scores]
        if not scored:
            raise KeyError(score)
        return max(scored, key=lambda record: record.scores[score])

    def to_list(self) -> list[dict[str, Any]]:
        """Return the epochs as plain JSON."""
        return [asdict(record) for record in self.epochs]

    @classmethod
    def from_list(cls, values: Sequence[Mapping[str, Any]]) -> History:
        """Build the history from what `to_list` gave."""
        return cls(tuple(EpochRecord(**value) for value in values))

    def write_csv(self, path: Path) -> None:
        """Write the log whole and atomically, one row an epoch.

        It is written anew each epoch, not appended to: a run killed between its checkpoint and its log
        resumes without a row missing or twice.
        """
        scores = sorted({name for record in self.epochs for name in record.scores})
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", "loss", "rate", "duration_s", *scores])
        for record in self.epochs:
            row = [f"{record.loss:.6g}", f"{record.rate:.6g}", f"{record.duration_s:.3f}"]
            writer.writerow([record.epoch, *row, *(record.scores.get(name, "") for name in scores)])
        write_atomically(path, text.getvalue().encode())
