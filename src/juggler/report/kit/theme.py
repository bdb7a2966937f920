"""Colours in a light and a dark scheme: named once, used by the page, the graphs and the figures."""

from __future__ import annotations

from collections.abc import Sequence

# Every light colour is different from every other one, so that a drawn colour leads back to its name.
LIGHT: dict[str, str] = {
    "page": "#f6f7f9",
    "card": "#ffffff",
    "ink": "#18202c",
    "muted": "#5a6576",
    "line": "#dde2e9",
    "hair": "#ebeef2",
    "wide": "#8592a8",
    "flat": "#0b7f75",
    "third": "#a4610f",
    "fourth": "#7a4fa3",
    "on-flat": "#fdfefe",
    "good": "#1a7f4b",
    "bad": "#b3261e",
    "loud": "#ffd34d",
    "on-loud": "#3b2c00",
    "op-conv": "#2b6cb0",
    "op-norm": "#d2812a",
    "op-act": "#3f9a63",
    "op-add": "#b8446f",
    "op-pool": "#7c62ac",
    "op-linear": "#1d4e89",
    "op-shape": "#98a2b0",
    "op-io": "#4d5868",
    "op-other": "#7d7468",
}

DARK: dict[str, str] = {
    "page": "#10141a",
    "card": "#181e26",
    "ink": "#e7ebf0",
    "muted": "#9ba7b7",
    "line": "#2d3643",
    "hair": "#232b36",
    "wide": "#8d9bb4",
    "flat": "#2fb8a8",
    "third": "#e0a04d",
    "fourth": "#b794e0",
    "on-flat": "#06231f",
    "good": "#4cc38a",
    "bad": "#ff7b72",
    "loud": "#e3b32f",
    "on-loud": "#221900",
    "op-conv": "#4a8fd6",
    "op-norm": "#d99040",
    "op-act": "#4fae76",
    "op-add": "#d0608a",
    "op-pool": "#967cc8",
    "op-linear": "#3f74b8",
    "op-shape": "#76818f",
    "op-io": "#94a0b0",
    "op-other": "#9a9083",
}


def variable(name: str) -> str:
    """Return the CSS value of a colour: the page's, or the light one where a drawing stands alone."""
    return f"var(--{name}, {LIGHT[name]})"


SERIES = ("flat", "third", "fourth", "op-conv", "op-add")


def subject_colours(subjects: Sequence[str]) -> dict[str, str]:
    """Return a colour for each subject: the wide network always grey, the others in a fixed order."""
    others = [s for s in subjects if s.lower() != "wide"]
    colours = {s: LIGHT[SERIES[i % len(SERIES)]] for i, s in enumerate(others)}
    return {s: colours.get(s, LIGHT["wide"]) for s in subjects}
