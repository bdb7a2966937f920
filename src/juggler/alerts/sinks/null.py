"""Count alerts and keep none: for measuring, and for runs of which only the summary is wanted."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from juggler.nouns import Alert


class NullSink:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


SINK = NullSink
