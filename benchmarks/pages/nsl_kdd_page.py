"""The tables of detectors in docs/reference/numbers.md, of nsl_kdd, nsl_kdd_novelty and detector_search.json.

With --check nothing is written, and the exit code is 1 where the page is not what the results say.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.pages.blocks import Result, of_results, table

TITLES = {
    "juggler": "Juggler, flat, as it ships",
    "xgboost": "XGBoost",
    "resnet34": "ResNet-34, the paper's baseline",
    "resnet50": "ResNet-50, the paper's baseline",
}
SCORES = {
    "auc": "area under the curve",
    "false_alarm_rate": "false alarms",
    "accuracy_2class": "2-class accuracy",
    "macro_f1": "macro-F1",
    "detection_rate_unseen": "detection, unseen types",
}
RATES = ("0.02", "0.05")
GAINS = {
    "detection_rate_held_out_0.02": "held-out types, f = 2%",
    "auc_few": "area, to 5 % false alarms",
    "macro_f1_0.02": "macro-F1, f = 2%",
}


def detectors(result: Result) -> str:
    """Return one row a detector and rate of false alarms, on KDDTest+."""
    found = result["scores"]["test"]
    rows = [_row(rate, side, scores[rate]) for rate in RATES for side, scores in found.items()]
    parts = [table(["f", "detector", *SCORES.values(), "seeds"], rows)]
    if "baselines" in result:
        parts.append(result["baselines"]["note"])
    return "\n\n".join(parts)


def novelty(shipped: Result, other: Result) -> str:
    """Return the network with novelty beside the one that ships and XGBoost, a score a row."""
    rate = RATES[0]
    sides = {
        "as it ships": shipped["scores"]["test"]["juggler"][rate],
        "with novelty": other["scores"]["test"]["juggler"][rate],
        "XGBoost": shipped["scores"]["test"]["xgboost"][rate],
    }
    rows = [[name, *(_cell(scores[key]) for scores in sides.values())] for key, name in SCORES.items()]
    return table([f"KDDTest+, f = {float(rate):.0%}", *sides], rows)


def search(result: Result) -> str:
    """Return one row a candidate: its scores on the folds, and what it gains over the plan that ships."""
    candidates = result["candidates"]
    gained = {name: own["gains"].get("auc_few", {}).get("mean", -1.0) for name, own in candidates.items()}
    order = sorted(candidates, key=lambda name: -float(gained[name]))
    rows = []
    for name in order:
        own = candidates[name]
        cells = [f"{own['scores'][key]['mean']:.3f}{_gain(own['gains'], key)}" for key in GAINS]
        about = f"{own['about']}, weight {own['weight']:g}" if own["weight"] else own["about"]
        rows.append([f"`{name}`", about, *cells, str(len(own["folds"]))])
    return table(["candidate", "what it is", *GAINS.values(), "folds and seeds"], rows)


def _gain(gains: Mapping[str, Any], key: str) -> str:
    found = gains.get(key)
    if not found or found["low"] == found["high"] == 0.0:
        return ""
    return f" ({found['mean']:+.3f}; {found['low']:+.3f} to {found['high']:+.3f})"


def _row(rate: str, side: str, scores: Mapping[str, Any]) -> list[str]:
    seeds = len(scores["auc"]["values"])
    return [f"{float(rate):.0%}", TITLES.get(side, side), *(_cell(scores[key]) for key in SCORES), str(seeds)]


def _cell(score: Mapping[str, Any]) -> str:
    mean, sd = f"{score['mean']:.3f}", f"{score['sd']:.3f}"
    return f"{mean} ± {sd}" if len(score["values"]) > 1 else mean


def blocks(shipped: Result, other: Result, searched: Result) -> dict[str, str]:
    """Return what stands between the page's markers."""
    found = {"detectors": detectors(shipped), "novelty": novelty(shipped, other)}
    return {**found, "search": search(searched)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the page, or check it; return the exit code."""
    results = {"result": "nsl_kdd", "novelty": "nsl_kdd_novelty", "search": "detector_search"}
    return of_results("reference/numbers", results, blocks, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
