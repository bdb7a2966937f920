"""Which detector sees more of attack types that it never met, at few false alarms; chosen on held-out types.

The three folds of KDDTrain+ hold whole attack types out (docs/reference/numbers.md). Each candidate is the
shipped plan with something changed; it is trained on the folds and scored on what they hold out: the share
of held-out types that is seen at 1, 2 and 5 % false alarms, the area under the curve, all of it and up to 5 %
false alarms, macro-F1, and how thresholds hold from fold to fold and from some services to others. A
candidate wins where the mean gain over folds and seeds is positive and its 95 % interval (t, over those
pairs) leaves out 0. No test file is opened. Nothing is done twice; a killed run goes on.
Needs the NSL-KDD files (JUGGLER_DATA, the cache, or a download) and XGBoost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from scipy.stats import t as student_t  # type: ignore[import-untyped]

from benchmarks.common import RESULTS, TRIALS, options
from benchmarks.detector.folds import Fold, Folds, described, features
from benchmarks.detector.scores import (
    Truth,
    mean_of,
    novelty,
    novelty_of,
    scores_of,
    summary,
    transfer,
    with_ood_score,
)
from benchmarks.detector.study import bar
from juggler.cli.console import OUT
from juggler.data import load_record_set
from juggler.errors import ConfigError
from juggler.files import write_atomically
from juggler.models import Plan, probabilities
from juggler.models.detector.teacher import Teacher
from juggler.models.networks.checkpoint import read_tensors, write_tensors
from juggler.runtime.machine import machine

NOTE = (
    "Three folds of the training file, no test file. Folds differ far more than seeds; pairs of one fold "
    "share its held-out types: an interval over them says too little about types that no fold holds out."
)
SHOWN = (
    "auc_held_out",
    "auc_few",
    "detection_rate_held_out_0.02",
    "detection_rate_by_type_0.02",
    "detection_rate_by_type_0.05",
    "macro_f1_0.02",
)


@dataclass(frozen=True)
class Candidate:
    """One way to make the detector.

    Attributes:
        about: what it is.
        changes: fields of the plan, such as `recipe.ema_decay`, and their values.
        members: networks that are averaged.
        mean: of their `logits` or of their `probabilities`.
        trees: whether it is the teacher itself, without a network.
        novel: what a novelty score reads: `input` or `last` (what the last layer reads); empty for none.
        weight: log-odds that a novelty as high as that of one normal record in a thousand adds.
    """

    about: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    members: int = 1
    mean: str = "logits"
    trees: bool = False
    novel: str = ""
    weight: float = 0.0


CANDIDATES: Mapping[str, Candidate] = {
    "today": Candidate("the shipped plan"),
    "trees": Candidate("its teacher, two ensembles of trees", trees=True),
    "trees_1": Candidate("one of them, as XGBoost stands beside it", {"teacher.members": 1}, trees=True),
    "trees_6": Candidate("six of them", {"teacher.members": 6}, trees=True),
    "trees_depth_3": Candidate("shallow trees", {"teacher.members": 1, "teacher.depth": 3}, trees=True),
    "trees_60": Candidate("fewer rounds", {"teacher.members": 1, "teacher.trees": 60}, trees=True),
    "trees_columns_0.2": Candidate(
        "trees that see a fifth of the columns",
        {"teacher.members": 1, "teacher.column_share": 0.2},
        trees=True,
    ),
    "trees_records_0.2": Candidate(
        "trees that see a fifth of the records",
        {"teacher.members": 1, "teacher.record_share": 0.2},
        trees=True,
    ),
    "members_2": Candidate("two networks joined", members=2),
    "members_3": Candidate("three networks joined", members=3),
    "members_3_probabilities": Candidate("the same, their probabilities", members=3, mean="probabilities"),
    "members_5": Candidate("five networks joined", members=5),
    "wide": Candidate("one network as large as three", {"network.mix": [96, 3, 4], "network.widths": [48]}),
    "cells_dropped": Candidate("cells of the image hidden at random", {"recipe.feature_dropout": 0.05}),
    "averaged": Candidate("weights averaged over steps", {"recipe.ema_decay": 0.999}),
    "no_tail": Candidate("without the loss on log-odds", {"recipe.tail_weight": 0.0}),
    "mixup": Candidate("images mixed in pairs", {"recipe.tail_weight": 0.0, "recipe.mixup_alpha": 0.2}),
    "taught_columns_0.2": Candidate("taught by trees of few columns", {"teacher.column_share": 0.2}),
    "taught_by_6": Candidate("taught by six", {"teacher.members": 6}),
    "more_mixtures": Candidate("twice the mixtures", {"teacher.mixtures": 400_000}),
    "novel_input_0.3": Candidate("novelty of the image", novel="input", weight=0.3),
    "novel_input_1": Candidate("novelty of the image", novel="input", weight=1.0),
    "novel_input_3": Candidate("novelty of the image", novel="input", weight=3.0),
    "novel_last_10": Candidate("novelty of the last layer's inputs", novel="last", weight=10.0),
    "novel_last_1": Candidate("novelty of the last layer's inputs", novel="last", weight=1.0),
    "novel_last_3": Candidate("novelty of the last layer's inputs", novel="last", weight=3.0),
    "novel_last_30": Candidate("novelty of the last layer's inputs", novel="last", weight=30.0),
    "novel_last_100": Candidate("novelty of the last layer's inputs", novel="last", weight=100.0),
}


def main() -> None:
    """Make what is missing, score all of it, write the result file."""
    parser = options(__doc__)
    parser.add_argument("names", nargs="*", help=f"candidates; all if absent: {', '.join(CANDIDATES)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--folder", type=Path, default=Path("runs") / "detector_search")
    parser.add_argument("--study", type=Path, default=Path("runs") / "nsl_kdd_study" / "nsl_kdd")
    parser.add_argument("--summary", action="store_true", help="score what is there; make nothing")
    given = parser.parse_args()
    strange = [name for name in given.names if name not in CANDIDATES]
    if strange:
        raise ConfigError("search a detector", f"{strange}", f"There are: {', '.join(CANDIDATES)}")
    folder = given.folder / ("quick" if given.quick else "")
    if not given.summary:
        base = _base("synthetic" if given.quick else "nsl_kdd")
        with bar("search") as tell:
            data = load_record_set(base.data)
            folds = Folds(data, base, folder, None if given.quick else given.study, tell)
            for seed in given.seeds:
                for number in range(data.folds()):
                    for name in given.names or CANDIDATES:
                        predict(name, folds, seed, number)
    _report(folder, quick=given.quick)


def predict(name: str, folds: Folds, seed: int, number: int) -> None:
    """Keep what a candidate says of a fold's validation records, and what is true of them."""
    path = folds.folder / "predictions" / name / f"seed-{seed}-fold-{number + 1}.safetensors"
    candidate = CANDIDATES[name]
    about = {"candidate": json.loads(json.dumps(asdict(candidate))), "base": described(folds.base)}
    if path.is_file() and read_tensors(path, "prediction")[1]["about"] == about:
        return
    fold = folds.fold(seed, number)
    records = fold.split.validation
    kinds, types = np.unique(records.labels().astype(str), return_inverse=True)
    truth = {
        "classes": records.classes(),
        "held_out": fold.held_out.astype(np.int64),
        "types": types.astype(np.int64),
        "groups": records["service"].astype(np.int64),
    }
    found = {"probabilities": _probabilities(candidate, folds, fold)}
    tensors = {key: torch.from_numpy(values) for key, values in (truth | found).items()}
    write_tensors(path, "prediction", tensors, {"about": about, "types": [str(kind) for kind in kinds]})


def _probabilities(candidate: Candidate, folds: Folds, fold: Fold) -> NDArray[np.float32]:
    plan = changed(folds.base, candidate.changes)
    plan = replace(plan, recipe=replace(plan.recipe, seed=fold.seed))
    if candidate.trees:
        if plan.teacher is None:
            raise ConfigError("score the teacher", "the plan has none", "Leave the trees out")
        return folds.trees(plan.teacher, fold)
    networks = [folds.network(plan, fold, member) for member in range(candidate.members)]
    p = mean_of([probabilities(network, fold.images) for network in networks], candidate.mean)
    if not candidate.novel:
        return p
    sides = (folds.normals(fold), fold.images)
    if candidate.novel == "last":
        known, met = (features(networks[0], images) for images in sides)
    else:
        known, met = (images.reshape(len(images), -1).astype(np.float64) for images in sides)
    fitted = novelty_of(known, 192)
    unit = float(np.quantile(novelty(known, fitted), 0.999)) or 1.0
    return with_ood_score(p, novelty(met, fitted) / unit, candidate.weight)


def changed(base: Plan, changes: Mapping[str, Any]) -> Plan:
    """Return a plan with some fields of its tables changed."""
    tables = base.to_dict()
    for name, value in changes.items():
        table, key = name.split(".", 1)
        if table == "teacher" and table not in tables:
            tables[table] = Teacher().to_dict()
        tables[table] = {**tables[table], key: value}
    return Plan.from_dict(tables)


def _base(name: str) -> Plan:
    """Return the shipped plan as one network that is what its training makes of it."""
    plan = Plan.shipped(name)
    later = ("members", "novelty")  # what is added once networks are trained
    return replace(plan, options={key: value for key, value in plan.options.items() if key not in later})


def _read(path: Path) -> tuple[NDArray[np.float32], Truth]:
    tensors = {key: tensor.numpy() for key, tensor in read_tensors(path, "prediction")[0].items()}
    p = tensors.pop("probabilities")
    tensors["held_out"] = tensors["held_out"].astype(np.bool_)
    return p, Truth(**tensors)


def _report(folder: Path, *, quick: bool) -> None:
    """Score every candidate that is there, against today's on the same folds, and write it down."""
    scored: dict[str, dict[str, dict[str, float]]] = {}
    moved: dict[str, list[dict[str, float]]] = {}
    for name in CANDIDATES:
        files = sorted((folder / "predictions" / name).glob("seed-*-fold-*.safetensors"))
        found = {path.stem: _read(path) for path in files}
        if found:
            scored[name] = {stem: scores_of(*one) for stem, one in found.items()}
            seeds = sorted({stem.split("-")[1] for stem in found})
            lots = [[v for stem, v in found.items() if stem.split("-")[1] == seed] for seed in seeds]
            moved[name] = [transfer(*zip(*lot, strict=True)) for lot in lots if len(lot) > 1]
    if not scored:
        raise ConfigError("report the search", f"nothing in {folder}", "Run it without --summary")
    result: dict[str, Any] = {
        "benchmark": "detector_search",
        "claim": (__doc__ or "").splitlines()[0],
        "date": datetime.now(UTC).date().isoformat(),
        "quick": quick,
        "note": NOTE,
        "machine": machine().to_dict(),
        "findings": [],
        "base": _base("synthetic" if quick else "nsl_kdd").to_dict(),
        "candidates": {
            name: {
                **asdict(CANDIDATES[name]),
                "scores": summary([*rows.values()]),
                "gains": _gains(rows, scored.get("today", {})),
                "folds": rows,
                "thresholds": summary(moved[name]) if moved[name] else {},
            }
            for name, rows in scored.items()
        },
    }
    path = (TRIALS if quick else RESULTS) / "detector_search.json"
    write_atomically(path, f"{json.dumps(result, indent=1)}\n".encode())
    OUT.print(_table(result["candidates"]))


def _gains(
    rows: Mapping[str, Mapping[str, float]], today: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Return how much higher each score is than today's on the same folds and seeds, with a 95 % interval."""
    both = [stem for stem in rows if stem in today]
    if len(both) < 2:
        return {}
    gains = {}
    for key in rows[both[0]]:
        each = [rows[stem][key] - today[stem][key] for stem in both]
        half = float(student_t.ppf(0.975, len(both) - 1)) * float(np.std(each, ddof=1)) / math.sqrt(len(both))
        mean = float(np.mean(each))
        gains[key] = {"mean": mean, "low": mean - half, "high": mean + half, "n": len(both)}
    return gains


def _table(candidates: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the scores that matter most, and their gains over today's where there are any."""
    view = Table("candidate", "n", *SHOWN, title="mean ± sd over folds and seeds; gain over today's")
    for name, found in candidates.items():
        cells = []
        for key in SHOWN:
            score, gain = found["scores"][key], found["gains"].get(key)
            text = f"{score['mean']:.4f} ± {score['sd']:.4f}"
            if gain and name != "today":
                text += f"\n{gain['mean']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
            cells.append(text)
        view.add_row(name, str(found["scores"][SHOWN[0]]["n"]), *cells)
    return view


if __name__ == "__main__":
    main()
