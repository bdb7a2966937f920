"""Who asked for a file, and the error that a malformed one ends in."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from juggler.errors import ArtefactError, JugglerError

MALFORMED = (
    ValueError,  # which bad Unicode and bad JSON are
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    EOFError,
    OSError,
    RuntimeError,  # which too deep a recursion and what is not implemented are
    SyntaxError,
    tokenize.TokenError,  # of numpy, which reads a header as Python would
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the standard library, numpy and others raise over bytes that are not what they should be."""


@dataclass(frozen=True)
class Request:
    """What was asked for, and what to do where it cannot be had.

    Attributes:
        asked: what was asked, with the file's name: `read the recipe plan.toml`.
        remedy: what to do.
        error: the kind of the error.
    """

    asked: str
    remedy: str
    error: type[JugglerError] = ArtefactError

    def refusal(self, fault: str) -> JugglerError:
        """Return the error that says what was wrong."""
        return self.error(self.asked, fault, self.remedy)

    @contextmanager
    def refusing(self, what: str) -> Iterator[None]:
        """Turn whatever malformed bytes make go wrong in the block into the error of this request.

        Args:
            what: what was expected, for the error: `JSON text`.

        Raises:
            JugglerError: of this request's kind.
        """
        try:
            yield
        except JugglerError:
            raise
        except MemoryError as error:
            raise self.refusal(f"no {what}: it asks for more memory than there is") from error
        except MALFORMED as error:
            text = " ".join(str(error).split())[:300]
            raise self.refusal(f"no {what} ({type(error).__name__}{text and f': {text}'})") from error


def name_of(source: Path | str | bytes) -> str:
    """Return what to call a source in a message."""
    return "the bytes" if isinstance(source, bytes) else str(source)
