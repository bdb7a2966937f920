"""The tables of docs/explain/learners.md are those of justus.json and lab_learners.json: write, or check.

With --check nothing is written, and the exit code is 1 where the page is not what the result says.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.pages.blocks import of_results, table

TITLES = {"conv/1080ti": "conv, 1080 Ti", "conv/p100": "conv, P100", "dense/1080ti": "dense, 1080 Ti"}
# The paper's names of rows where they are not ours.
PUBLISHED_AS = {"xgboost_raw": "xgboost", "resperfnet_paper": "resperfnet"}
WAYS = {"untouched": "as it is", "transferred": "corrected", "from_nothing": "from nothing"}


def learners(result: Mapping[str, Any]) -> str:
    """Return the MAPE of every learner on every set, the published ones in a column of their own."""
    published = result["published"]["conv"]
    names = sorted(
        {name for scores in result["table"].values() for name in scores},
        key=lambda name: min(s[name]["mape"] for s in result["table"].values() if name in s),
    )
    rows = [
        [
            name,
            *(_cell(result["table"].get(which, {}).get(name)) for which in TITLES),
            _quoted(name, published),
        ]
        for name in names
    ]
    head = ["learner", *(f"{title}, MAPE %" for title in TITLES.values()), "published, conv, other data"]
    return table(head, rows)


def transfer(result: Mapping[str, Any]) -> str:
    """Return the learning curves: by samples, the MAPE of each way to use them."""
    found = {(row["samples"], row["how"]): row for row in result["transfer"]}
    rows = [
        [str(samples), *(_cell(found.get((samples, how))) for how in WAYS)]
        for samples in sorted({samples for samples, _ in found})
    ]
    return table(["samples of the P100", *(f"{title}, MAPE %" for title in WAYS.values())], rows)


def lab(result: Mapping[str, Any]) -> str:
    """Return the MAPE of every learner on the families of our own campaign, with what timings repeat to."""
    families = result["families"]
    published = result["published"]["conv"]
    names = list(families["conv"]["learners"])
    splits = "1 split" if len(result["seeds"]) == 1 else f"{len(result['seeds'])} splits"
    rows = [
        [name, *(_spread(own["learners"].get(name)) for own in families.values()), _quoted(name, published)]
        for name in names
    ]
    floors = ["*two timings of a kernel*", *(f"{own['floor']:.1f}" for own in families.values()), ""]
    head = ["learner", *(f"{family}, MAPE %" for family in families), "published, conv, other data"]
    held = ", ".join(f"{own['held_out']:.0f} {family}" for family, own in families.items())
    told = (
        f"{result['samples']:,} samples, {splits}, held out on average: {held}. "
        f"{result['machine']['cpu']}, {result['date']}."
    )
    return f"{table(head, [*rows, floors])}\n\n{told}"


def _spread(scores: Mapping[str, Any] | None) -> str:
    if scores is None:
        return ""
    return f"{scores['mape']:,.1f}" + ("" if scores["mape_sd"] is None else f" ± {scores['mape_sd']:,.1f}")


def _cell(scores: Mapping[str, Any] | None) -> str:
    if scores is None:
        return ""
    if scores["mape_sd"] is None:
        return f"{scores['mape']:.1f} (one split)"
    splits = "" if scores["seeds"] == 5 else f", {scores['seeds']} splits"
    return f"{scores['mape']:.1f} ± {scores['mape_sd']:.1f}{splits}"


def _quoted(name: str, published: Mapping[str, float]) -> str:
    value = published.get(PUBLISHED_AS.get(name, name))
    return "" if value is None or name == "resperfnet" else f"{value:g}"


def blocks(theirs: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, str]:
    """Return what stands between the page's markers."""
    return {"learners": learners(theirs), "transfer": transfer(theirs), "lab": lab(own)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the page, or check it; return the exit code."""
    results = {"result": "justus", "lab": "lab_learners"}
    return of_results("explain/learners", results, blocks, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
