"""The table of detectors in docs/numbers.md is that of results/nsl_kdd.json: write it, or check it.

With --check nothing is written, and the exit code is 1 where the page is not what the result says.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pages import Result, of_one_result, table

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


def detectors(result: Result) -> str:
    """Return one row a detector and rate of false alarms, on KDDTest+."""
    found = result["scores"]["test"]
    rows = [_row(rate, side, scores[rate]) for rate in RATES for side, scores in found.items()]
    parts = [table(["f", "detector", *SCORES.values(), "seeds"], rows)]
    if "baselines" in result:
        parts.append(result["baselines"]["note"])
    return "\n\n".join(parts)


def _row(rate: str, side: str, scores: Mapping[str, Any]) -> list[str]:
    seeds = len(scores["auc"]["values"])
    return [f"{float(rate):.0%}", TITLES.get(side, side), *(_cell(scores[key]) for key in SCORES), str(seeds)]


def _cell(score: Mapping[str, Any]) -> str:
    mean, sd = f"{score['mean']:.3f}", f"{score['sd']:.3f}"
    return f"{mean} ± {sd}" if len(score["values"]) > 1 else mean


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the page, or check it; return the exit code."""
    return of_one_result("nsl_kdd", "numbers", {"detectors": detectors}, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
