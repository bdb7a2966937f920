"""What each learner makes of the same campaign: the paper's Table 1 on this device, over several splits.

A fifth of the kernels that were drawn at random is held out, by another seed each time; every learner gets
the other samples of the campaign and chooses what it chooses on a part of them. ResPerfNet's tuned settings
were chosen on a part of the training rows of one split of convolutions, and `counted` was worked out on the
campaign's kernels, some of which are held out here: that favours both.
A run goes on where the last one stopped: a split takes five minutes on one core.

Needs the database of a campaign, as predict_kernels.py does.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.common import ROOT, TRIALS, options, progress, reporting, write
from benchmarks.predict.justus import PUBLISHED
from juggler.errors import DataError
from juggler.files import write_atomically
from juggler.predict.campaign.store.samples import Store
from juggler.predict.fit.comparison import compare_learners
from juggler.predict.learning.learner import learners_from_samples

FAMILIES = ("conv", "depthwise", "pool", "dense")
CELLS = TRIALS / "lab_learners_cells.json"


def main() -> None:
    """Score every learner on every split that is not there yet; write the result file."""
    parser = options(__doc__)
    parser.add_argument("--db", type=Path, default=ROOT / "runs" / "predict" / "lab.db")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--again", nargs="+", default=[], metavar="LEARNER", help="fit these again")
    given = parser.parse_args()
    with Store.open(given.db) as store:
        samples = [sample for sample in store.samples() if sample.spec.family in FAMILIES]
        if not samples:
            raise DataError(f"read {given.db}", "no samples", "Measure some first: juggler campaign")
        floors = store.floors()
        device = store.machines()[samples[0].machine]
    last = max(sample.taken_at for sample in samples)
    cells = json.loads(CELLS.read_text(encoding="utf-8")) if CELLS.is_file() and not given.quick else {}
    for seed in given.seeds:
        key = f"{seed}/{len(samples)}/{last}"
        kept = [row for row in cells.get(key, []) if row["learner"] not in given.again]
        names = ["polynomial", "xgboost_log"] if given.quick else learners_from_samples()
        left = [name for name in names if name not in {row["learner"] for row in kept}]
        if not left:
            continue
        with progress(f"split {seed}") as tell:
            found = compare_learners(
                samples, learners=left, seed=seed, floors=floors, progress=reporting(tell)
            )
        cells[key] = [*kept, *found.to_dict()["rows"]]
        if not given.quick:
            write_atomically(CELLS, f"{json.dumps(cells, indent=1)}\n".encode())
    splits = [cells[f"{seed}/{len(samples)}/{last}"] for seed in given.seeds]
    details = {
        "seeds": given.seeds,
        "samples": len(samples),
        "published": PUBLISHED,
        "families": table(splits),
    }
    write("lab_learners", __doc__, [], details, quick=given.quick, measured=(device, last[:10]))


def table(splits: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Return, by family, the floor and each learner's scores over the splits, the least mean MAPE first."""
    found: dict[str, Any] = {}
    for family in FAMILIES:
        rows = [row for rows in splits for row in rows if row["family"] == family]
        learners: dict[str, dict[str, Any]] = {}
        for name in dict.fromkeys(row["learner"] for row in rows):
            scores = [row["scores"] for row in rows if row["learner"] == name]
            errors = [one["mape"] for one in scores]
            learners[name] = {
                "mape": fmean(errors),
                "mape_sd": stdev(errors) if len(errors) > 1 else None,
                **{key: fmean(one[key] for one in scores) for key in ("within_5", "within_10", "rmse_ms")},
            }
        ordered = dict(sorted(learners.items(), key=lambda one: one[1]["mape"]))
        held = fmean(row["scores"]["n"] for row in rows)
        found[family] = {"floor": rows[0]["floor"], "held_out": held, "learners": ordered}
    return found


if __name__ == "__main__":
    main()
