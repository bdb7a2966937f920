"""How the survey's figures are written and marked: one sign an origin, in tables and pictures alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from juggler.report.kit import units

if TYPE_CHECKING:
    from juggler.survey.amount import Amount

SIGNS = {
    "measured": "●",
    "counted": "■",
    "modelled": "▲",
    "estimated": "◆",
    "quoted": "○",
    "unavailable": "–",
}
MARKERS = {"measured": "o", "counted": "s", "modelled": "^", "estimated": "D", "quoted": "o"}
HATCHES = {"measured": "", "counted": "", "modelled": "////", "estimated": "////", "quoted": "...."}
HOLLOW = ("quoted",)
# A point is as good as the weaker of its two figures.
WEAKEST_FIRST = ("unavailable", "quoted", "estimated", "modelled", "measured", "counted")
DIGITS = {"top1": 1, "top5": 1}


def number(key: str, value: float | None) -> str:
    """Return a figure with as many digits as its quantity bears."""
    if value is None:
        return units.DASH
    return units.decimal(value, DIGITS[key]) if key in DIGITS else units.significant(value)


def marked(key: str, amount: Amount | None) -> str:
    """Return a figure with the sign of its origin: `77.7 ○`; a dash where there is none."""
    if amount is None or amount.value is None:
        return units.DASH
    return f"{number(key, amount.value)} {SIGNS[amount.origin]}"


def weakest(origins: Iterable[str]) -> str:
    """Return the origin that a figure worked out from others has."""
    return min(origins, key=WEAKEST_FIRST.index)


def legend(origins: Iterable[str]) -> str:
    """Return what the signs mean: `● measured  ○ quoted`."""
    seen = {*origins}
    return "  ".join(f"{sign} {origin}" for origin, sign in SIGNS.items() if origin in seen)
