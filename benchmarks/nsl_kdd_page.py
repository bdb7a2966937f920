"""The tables of detectors in docs/numbers.md are those of nsl_kdd.json and nsl_kdd_novelty.json.

With --check nothing is written, and the exit code is 1 where the page is not what the results say.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import RESULTS, ROOT, read
from pages import Result, filled, options, put, table

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


def _row(rate: str, side: str, scores: Mapping[str, Any]) -> list[str]:
    seeds = len(scores["auc"]["values"])
    return [f"{float(rate):.0%}", TITLES.get(side, side), *(_cell(scores[key]) for key in SCORES), str(seeds)]


def _cell(score: Mapping[str, Any]) -> str:
    mean, sd = f"{score['mean']:.3f}", f"{score['sd']:.3f}"
    return f"{mean} ± {sd}" if len(score["values"]) > 1 else mean


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the page, or check it; return the exit code."""
    parser = options(__doc__)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "numbers.md")
    parser.add_argument("--result", type=Path, default=RESULTS / "nsl_kdd.json")
    parser.add_argument("--novelty", type=Path, default=RESULTS / "nsl_kdd_novelty.json")
    given = parser.parse_args(arguments)

    def make(text: str) -> str:
        shipped, other = read(given.result), read(given.novelty)
        return filled(text, {"detectors": detectors(shipped), "novelty": novelty(shipped, other)})

    return put(given.page, make, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
