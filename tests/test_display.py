"""What a file holds is shown, and never obeyed."""

from __future__ import annotations

import unicodedata

import pytest

from juggler.display import printable
from juggler.errors import DataError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, déjà vu, 漢字, 5\u00a0µs", "plain, déjà vu, 漢字, 5\u00a0µs"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\nb\tc\x7f", r"a\r\nb\tc\x7f"),
        ("user\u202egnp.exe\u2066\u200b\ufeff", r"user\u202egnp.exe\u2066\u200b\ufeff"),
        ("\u2028\u2029\u061c", r"\u2028\u2029\u061c"),
        ("\ud800\udcff", r"\ud800\udcff"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_it_escapes_what_acts_and_nothing_else(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_no_character_at_all_acts():
    for start in range(0, 0x110000, 4096):
        shown = printable("".join(map(chr, range(start, start + 4096))), limit=4096)
        assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"}
        shown.encode()


def test_it_cuts_what_is_long_and_keeps_what_it_is_told_to():
    assert printable("x" * 2001) == "x" * 2000 + "… (2,001 characters)"
    assert printable("one\ntwo\x07", keep="\n") == "one\ntwo\\x07"


def test_an_error_holds_no_control_character():
    error = DataError("read \x1b[31mx", "\nfake: line", "\u202eeno")
    assert str(error) == r"read \x1b[31mx: \nfake: line. \u202eeno"
    assert error.found == r"\nfake: line"
