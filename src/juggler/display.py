"""Text that may be shown: nothing in a file moves a cursor, colours a terminal or begins a log's line."""

from __future__ import annotations

import unicodedata

LIMIT = 2_000
"""Characters of a text that are shown where nothing else is said: a message, not a file."""


def printable(text: object, limit: int = LIMIT, keep: str = "") -> str:
    r"""Return text that a terminal, a log and a page show and do not obey.

    Escaped as Python writes them (`\x1b`, `\u202e`) are all characters that move, colour, hide or turn what
    is shown: control characters (C0 and C1, ANSI sequences with them), line and paragraph ends, marks of
    direction, zero-width and unassigned characters, and halves of pairs that no encoding can write. What is
    longer than the limit is cut, and the length is said.

    Args:
        text: the text; of anything else its `str`.
        limit: the most characters that are shown.
        keep: characters that stay, such as the ends of lines of a text of the house's own.
    """
    full_text = str(text)
    shown = full_text[:limit]
    if not shown.isprintable():
        shown = "".join(
            letter if letter in keep or _is_harmless(letter) else _escaped(letter) for letter in shown
        )
    return shown if len(full_text) <= limit else f"{shown}… ({len(full_text):,} characters)"


def _is_harmless(letter: str) -> bool:
    # Python calls every space but the plain one unprintable.
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")
