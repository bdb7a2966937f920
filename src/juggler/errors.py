"""What can go wrong, said so that a person can act on it.

Every error states three things: what was asked, what was found, what to do.
"""

from __future__ import annotations

from typing import ClassVar

from juggler.display import printable

_LIMIT = 4_000
"""Characters of each part of a message."""


class JugglerError(Exception):
    """Tell the user what was asked, what was found and what to do about it.

    Every error of the package is one of these; the command line prints its text without a traceback
    and exits with `exit_code`.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, asked: str, found: str, remedy: str) -> None:
        # Names of files and fields of records stand in all three: a terminal and a log must not obey them.
        self.asked, self.found, self.remedy = (printable(text, _LIMIT) for text in (asked, found, remedy))
        super().__init__(f"{self.asked}: {self.found}. {self.remedy}")


class ConfigError(JugglerError):
    """An option or a recipe field has a value that cannot work; raised before any work begins."""

    exit_code: ClassVar[int] = 2


class DataError(JugglerError):
    """Records cannot be read: the message names the file and, where there is one, the line."""

    exit_code: ClassVar[int] = 3


class ArtefactError(JugglerError):
    """An artefact or a checkpoint is missing, damaged, or of a version this release cannot read."""

    exit_code: ClassVar[int] = 4


class Unavailable(JugglerError):  # noqa: N818  # it names a state of the machine, as `BackendStatus` does
    """A backend or an optional package cannot be used on this machine; the remedy names the command."""

    exit_code: ClassVar[int] = 5


class Refused(JugglerError):  # noqa: N818  # the design's own word: a rewrite is proved or refused
    """A whole request was refused because its result could not be proved equal."""

    exit_code: ClassVar[int] = 6


class ParityError(JugglerError):
    """An exported network does not compute what its source computes; nothing was written."""

    exit_code: ClassVar[int] = 7


def first_line(error: BaseException, most: int = 200) -> str:
    """Return the first line of another library's error, its class where it has no text."""
    lines = str(error).strip().splitlines()
    return lines[0][:most] if lines else type(error).__name__
