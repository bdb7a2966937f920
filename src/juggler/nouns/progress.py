"""How far a long piece of work is: one value, whoever reports it and whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is.

    Attributes:
        stage: what is being done; who shows it gives each stage its own bar.
        done: so much, in the unit.
        total: of so much; None where that is not known.
        unit: what is counted: steps, bytes, records.
        detail: other numbers by name, such as epoch, epochs, step, steps and loss of a training.
    """

    stage: str
    done: float
    total: float | None
    unit: str = ""
    detail: Mapping[str, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Return how much is done, 0 to 1; 0 where the total is not known."""
        return self.done / self.total if self.total else 0.0


ReportProgress = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Show nothing."""


def as_stage(stage: str, report: ReportProgress | None) -> ReportProgress | None:
    """Return what reports the same as a stage of a larger piece of work."""
    return None if report is None else lambda progress: report(replace(progress, stage=stage))
