"""Count alerts and keep none: for measuring, and for runs of which only the summary is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from juggler.alerts.sink import Sink
from juggler.nouns import Alert


class NullSink(Sink):
    """Take every alert and keep only their number."""

    name: ClassVar[str] = "null"

    def __init__(self) -> None:
        self.written = 0

    @classmethod
    def open(cls, target: str | Path | None = None) -> Self:
        """Open; `target` is not used."""
        return cls()

    def write(self, alert: Alert) -> None:
        """Count the alert."""
        self.written += 1

    def close(self) -> None:
        """Do nothing: nothing is held."""


SINK = NullSink
