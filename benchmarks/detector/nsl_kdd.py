"""The detector is not behind XGBoost on NSL-KDD: 28 features and calibrated thresholds both, five seeds.

A seed is the whole protocol: three folds that hold attack types out, the epoch and the thresholds from these,
a refit on all of KDDTrain+. XGBoost (200 trees a class of depth 6, rate 0.1, 0.8 of the records and 0.5 of
the columns a tree; words one-hot) has the same folds, and its thresholds are found in the same way: for each
false-alarm rate f the median over the folds of the (1 - f) quantile of 1 - p(normal) on validation normals.
KDDTest+ and KDDTest-21 are read after all training, to report; every score is by the one alarm rule.
`Not behind` means that the mean over the seeds is no worse; the difference's 95 % interval (t, over the
seeds' differences) stands beside it. A seed that is done is not done again; a killed run goes on.
With --baselines the paper's ResNet-34 and ResNet-50 stand beside both, trained by the same protocol on the
same images at a quarter of their width; once trained they stay in the file.
With --novelty the network adds how new a record looks to its odds, and the result is a file of its own.
Needs the NSL-KDD files (JUGGLER_DATA, the cache, or a download) and XGBoost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.table import Table

from benchmarks.common import options, write
from benchmarks.detector.claims import SCORES, judge
from benchmarks.detector.study import (
    BASELINE_NOTE,
    BASELINES,
    DETECTOR_FILE,
    XGBOOST,
    Side,
    bar,
    baseline_plan,
    baseline_side,
    detector_side,
    lend_lessons,
    xgboost_side,
)
from juggler.cli.console import OUT
from juggler.data import DataSet, load_record_set
from juggler.metrics import score
from juggler.models import Plan
from juggler.models.detector.protocol import RATES
from juggler.nouns import Noun


@dataclass(frozen=True)
class Summary(Noun):
    """Mean and standard deviation over the seeds, and each seed's value."""

    mean: float
    sd: float
    values: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.sd:.3f}"


def main() -> None:
    """Train what is not trained yet, score all of it, write the result file."""
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--folder", type=Path, default=Path("runs") / "nsl_kdd_study")
    parser.add_argument(
        "--baselines", nargs="+", choices=[*BASELINES], default=[], help="train these ResNets beside it"
    )
    parser.add_argument("--baseline-seeds", type=int, nargs="+", help="of --seeds, for --baselines alone")
    parser.add_argument("--lessons", type=Path, help="--folder of an earlier study with the same teacher")
    parser.add_argument(
        "--novelty", type=float, help="of the network: a study of its own, of what does not ship"
    )
    given = parser.parse_args()
    name, seeds = ("synthetic", given.seeds[:2]) if given.quick else ("nsl_kdd", given.seeds)
    plan, data = Plan.shipped(name), load_record_set(name)
    if given.novelty is not None:
        plan = replace(plan, options={**plan.options, "novelty": given.novelty})
    places = {seed: given.folder / name / f"seed-{seed}" for seed in seeds}
    sides: dict[str, list[Side]] = {"juggler": [], "xgboost": []}
    for seed, place in places.items():
        own = replace(plan, recipe=replace(plan.recipe, seed=seed))
        if given.lessons is not None:
            lend_lessons(given.lessons / name / place.name, place)
        with bar(f"seed {seed}") as tell:
            sides["juggler"].append(detector_side(own, data, place, tell))
            sides["xgboost"].append(xgboost_side(own, data, place, tell))
            for baseline in BASELINES:
                asked = baseline in given.baselines and seed in (given.baseline_seeds or seeds)
                if asked or (place / baseline / DETECTOR_FILE).is_file():
                    found = baseline_side(baseline, own, data, place, tell)
                    sides.setdefault(baseline, []).append(found)
    parts = [part for part in data.parts if part != "train"]
    table = {part: {side: compare(found, data, part) for side, found in sides.items()} for part in parts}
    details = {
        "data": data.provenance.to_dict(),
        "plan": plan.to_dict(),
        "xgboost": XGBOOST.to_dict(),
        "seeds": list(seeds),
        "epochs": [side.provenance["epoch"] for side in sides["juggler"]],
        "scores": plain(table),
        **baselines_of(plan, sides),
    }
    OUT.print(shown(table))
    about, findings = ("nsl_kdd", judge(details["scores"]))
    if given.novelty is not None:
        about, findings = "nsl_kdd_novelty", []
    write(about, __doc__, findings, details, quick=given.quick, packages=["xgboost"])


def baselines_of(plan: Plan, sides: dict[str, list[Side]]) -> dict[str, Any]:
    """Return how the paper's networks were trained, and on which seeds; nothing where none was."""
    found = {
        name: {
            "plan": baseline_plan(name, plan).to_dict(),
            "seeds": [side.provenance["seed"] for side in sides[name]],
        }
        for name in BASELINES
        if name in sides
    }
    return {"baselines": {"note": BASELINE_NOTE, **found}} if found else {}


def compare(sides: Sequence[Side], data: DataSet, part: str) -> dict[float, dict[str, Summary]]:
    """Score every seed of one kind on a part of the test data, by false-alarm rate."""
    records = data.load(part)
    truth, unseen, names = records.classes(), records.unseen(), data.schema.classes
    found = [side.probabilities(records) for side in sides]
    result: dict[float, dict[str, Summary]] = {}
    for rate in RATES:
        scores = [
            score(p, truth, unseen, s.thresholds[rate], names) for p, s in zip(found, sides, strict=True)
        ]
        rows = {key: [getattr(s, key) for s in scores] for key in (*SCORES, "threshold")}
        rows |= {f"recall_{name}": [s.recall[name] for s in scores] for name in names}
        result[rate] = {key: summary(values) for key, values in rows.items()}
    return result


def summary(values: Sequence[float]) -> Summary:
    """Return mean and sd of a score over the seeds."""
    return Summary(fmean(values), stdev(values) if len(values) > 1 else 0.0, tuple(values))


def plain(table: Any) -> Any:
    """Return nested summaries as plain values."""
    if isinstance(table, Summary):
        return table.to_dict()
    return {str(key): plain(value) for key, value in table.items()}


def shown(table: dict[str, Any]) -> Table:
    """Return mean and sd of every score, all sides, as one table for the terminal."""
    columns = [*next(iter(table.values()))]
    view = Table("part", "f", "score", *columns, title="mean ± sd over the seeds")
    for part, sides in table.items():
        for rate in RATES:
            for key, (name, _) in SCORES.items():
                values = (str(sides[side][rate][key]) for side in columns)
                view.add_row(part, f"{rate:.0%}", name, *values, end_section=key == "macro_f1")
    return view


if __name__ == "__main__":
    main()
