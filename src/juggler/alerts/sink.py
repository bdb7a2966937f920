"""What every sink of alerts can do, and how one is opened by name."""

from __future__ import annotations

import errno
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Protocol, Self

from juggler.errors import JugglerError
from juggler.nouns import Alert
from juggler.registry import Registry


class SinkError(JugglerError):
    """An alert could not be written; the run ends, for a guard that loses alerts must say so.

    Attributes:
        written: alerts that the sink had taken whole before this one.
    """

    exit_code: ClassVar[int] = 8

    def __init__(self, asked: str, found: str, remedy: str, written: int = 0) -> None:
        super().__init__(asked, found, remedy)
        self.written = written


class Sink(Protocol):
    """Take alerts one by one; a plug-in file offers its class as `SINK`.

    An alert is handed over when it opens and again when it closes; `write` returns once the alert is
    where others can see it, or raises `SinkError`. A reader who hung up is a `BrokenPipeError`, which
    is no fault: the run then ends with its summary.

    Attributes:
        name: what opens it, that of its file.
        written: alert lines that are whole where the sink puts them.
    """

    name: ClassVar[str]
    written: int

    @classmethod
    def open(cls, target: str | Path | None = None) -> Self:
        """Open the sink on `target`; `None` is the sink's own default."""

    def write(self, alert: Alert) -> None:
        """Write one alert, whole or not at all."""

    def close(self) -> None:
        """Let go of what `open` took; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


SINKS: Registry[type[Sink]] = Registry("sink", "juggler.alerts.sinks", alias="juggler.sinks")


def open_sink(name: str, target: str | Path | None = None) -> Sink:
    """Open the sink called `name`.

    Raises:
        ConfigError: there is no such sink.
        SinkError: the target cannot be opened.
    """
    return SINKS.get(name).open(target)


def remedy_for(error: OSError) -> str:
    """Return what to do about a target that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Make room on the disk (or raise the quota or file size limit) and run again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Choose a target that this user may write"
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
        return "Name a file in a folder that exists"
    return "Check the target and run again"
