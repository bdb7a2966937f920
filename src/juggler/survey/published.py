"""What others published of the networks: the analysis paper's Table I, and accuracies with their sources."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from juggler.reading.documents import parse_toml
from juggler.reading.request import Request
from juggler.survey.amount import QUOTED, Amount

TABLE_ONE = ("top1", "top5", "parameters_m", "gflop", "latency_ms", "power_w")
FIGURES = {
    "top1": "Fig. 16",
    "top5": "Fig. 17",
    "parameters_m": "Fig. 18",
    "gflop": "Fig. 19",
    "latency_ms": "Fig. 20, Intel Core i5, 2 GHz, 2 cores",
    "power_w": "Fig. 23, NVIDIA GTX 1080",
}


def paper(name: str) -> dict[str, Amount]:
    """Return the paper's values of a network by the keys of `QUANTITIES`; none of one that it has not."""
    row = _published()["paper"].get(name, {})
    source = _published()["sources"]["paper"]
    return {
        key: Amount(float(row[key]), QUOTED, f"{source}, {FIGURES[key]}") for key in TABLE_ONE if key in row
    }


def accuracy(name: str) -> dict[str, Amount]:
    """Return published one-crop accuracies, `top1` and `top5`; none where no source is cited."""
    row = _published()["accuracy"].get(name)
    if row is None:
        return {}
    source = _published()["sources"][row["source"]]
    return {key: Amount(float(row[key]), QUOTED, source) for key in ("top1", "top5")}


def note(name: str) -> str:
    """Return what must be said beside the paper's values; empty where nothing must."""
    return str(_published()["notes"].get(name, ""))


@cache
def _published() -> dict[str, Any]:
    text = (resources.files("juggler.survey") / "published.toml").read_text(encoding="utf-8")
    return parse_toml(text, Request("read what was published", "Install juggler again"))
