"""Write numbers as a person reads them: few digits, a dash for what is not there."""

from __future__ import annotations

import math
import unicodedata

DASH = "–"  # an en dash is what tables use for no value
# Control and format characters (marks of direction among them), the unassigned, halves of pairs.
_NOT_SHOWN = {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def missing(value: float | None) -> bool:
    """Say whether there is no number to show: `None`, NaN or an infinity."""
    return value is None or not math.isfinite(value)


def decimal(value: float | None, digits: int = 3) -> str:
    """Return the value with that many decimals."""
    return DASH if value is None or missing(value) else f"{value:,.{digits}f}"


def significant(value: float | None, digits: int = 3) -> str:
    """Return the value with that many significant digits and no exponent: `0.0412`, `3.20`, `1,250`."""
    if value is None or missing(value):
        return DASH
    if value == 0:
        return "0"
    # The exponent of the rounded value: 0.9999 has three significant digits as 1.00.
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return f"{value:,.{max(0, digits - 1 - exponent)}f}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """Return a fraction as per cent, without the sign, for columns whose header carries it."""
    return DASH if fraction is None or missing(fraction) else f"{fraction * 100:.{digits}f}"


def with_percent_sign(fraction: float | None, digits: int = 1) -> str:
    """Return a fraction as per cent with the sign, for running text."""
    text = percent(fraction, digits)
    return text if text == DASH else f"{text} %"


def count(value: float | None) -> str:
    """Return a whole number with thousands set apart."""
    return DASH if value is None or missing(value) else f"{value:,.0f}"


def macs(value: float | None) -> str:
    """Return multiply-accumulates to three digits with the SI prefix: `4.09 G`, `310 k`, `12`."""
    if value is None or missing(value):
        return DASH
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * scale:
            return f"{significant(value / scale)} {prefix}"
    return f"{value:.0f}"


def error(value: float | None) -> str:
    """Return a relative error with two digits: `3.1e-16`; an exact 0 is `0`."""
    if value is None or missing(value):
        return DASH
    return "0" if value == 0 else f"{value:.1e}"


def limit(value: float | None) -> str:
    """Return a limit as short as it was set: `1e-12`."""
    return DASH if value is None or missing(value) else f"{value:g}"


def power_of_ten(exponent: int) -> str:
    """Return a power of ten as text that needs no formula renderer: `10⁻³`."""
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def shape(sizes: tuple[int, ...]) -> str:
    """Return the sizes of a tensor: `1×3×32×32`."""
    return "×".join(map(str, sizes)) or "scalar"


def clean(text: object, keep: str = "") -> str:
    """Return the text with control characters made visible: they break XML and can steer a terminal."""
    return "".join(
        c if c in keep or unicodedata.category(c) not in _NOT_SHOWN else "\ufffd" for c in str(text)
    )


def shorten(text: object, limit_chars: int) -> str:
    """Return the text cleaned, its middle left out where it is longer than the limit."""
    cleaned = clean(text)
    if len(cleaned) <= limit_chars:
        return cleaned
    head = (limit_chars - 1) // 2
    return f"{cleaned[:head]}…{cleaned[len(cleaned) - (limit_chars - 1 - head) :]}"
