"""A campaign of an hour predicts kernels within 5 %, or within 1.3 times what their timings repeat to.

Kernels that were drawn at random are parted into five folds. Each fold is predicted, and covered by
intervals, by what `juggler fit` makes of all other samples: it chooses the learner, calibrates on a fifth of
what is left and sees nothing of the fold. Samples that the committee chose are for training only, second
timings for the floor: the mean difference between a kernel's first timing and its second, minutes later, or
hours later in a copy of the database that went on. Errors are shown by the memory that a kernel touches, by
where it was drawn, and from fewer samples.

ResNet-152 is predicted from its ONNX file by a process that does nothing else; its first prediction counts.

Needs the database of a campaign: `juggler campaign --backend onnxruntime --samples 2800 --retest 200`. For
--later, copy it, and some hours after run the same line on the copy with `--retest 400`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np

from benchmarks.common import ROOT, TRIALS, Finding, options, write
from benchmarks.predict.folds import Held, floor_later, from_fewer, held_out, row
from juggler.nouns import Machine
from juggler.predict.campaign.store.samples import Store
from juggler.predict.kernels.sample import Sample
from juggler.predict.predictor.predictor import Predictor
from juggler.runtime.measure.peak import MIB, own_peak_mib

DB = ROOT / "runs" / "predict" / "lab.db"
ASKED = ("conv", "pool", "dense")
LIMIT, TIMES_THE_FLOOR = 5.0, 1.3
MOST_SAMPLES, MOST_MINUTES = 3_000, 60.0
LIMIT_S, LIMIT_MB = 0.5, 500.0
COVERED, OFF, LEAST_COVERED = 90.0, 3.0, 500
PAUSE_S = 300.0  # between blocks of samples: longer ones are breaks of the campaign
PUBLISHED = {
    "of": "ResPerfNet, TensorFlow on a GTX 1080 Ti, execution phase, 100,000 samples in two weeks",
    **{"conv": 11.75, "dense": 4.515},
}


def main() -> None:
    """Fit every family five times, judge, write the result file."""
    parser = options(__doc__)
    parser.add_argument("--db", type=Path, default=DB, help="the campaign's database")
    parser.add_argument(
        "--later", type=Path, help="a copy of it that went on: with second timings hours later"
    )
    parser.add_argument("--device", help="predictor that is timed on ResNet-152; without it, none is")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        child(Path(given.child[0]), given.child[1])
        return
    with Store.open(given.db) as store:
        samples, floors = store.samples(), {floor.family: floor for floor in store.floors()}
        place = store.machines()[samples[0].machine]
    held = held_out(samples, quick=given.quick)
    table = {family: row(own, floors.get(family)) for family, own in held.items()}
    if given.later is not None:
        with Store.open(given.later) as store:
            for family, floor in floor_later(samples, store.samples()).items():
                table.get(family, {})["floor_later"] = floor
    for family in () if given.quick else (family for family in ASKED if family in table):
        table[family]["from_fewer"] = from_fewer(family, [s for s in samples if s.spec.family == family])
    spent = extent(samples)
    speed = resnet152(given.device) if given.device else None
    details = {
        "backend": f"{samples[0].backend} {place.packages.get(samples[0].backend)}",
        "threads": samples[0].threads,
        "published": PUBLISHED,
        "campaign": spent,
        "families": table,
        "resnet152": speed,
    }
    found = [*judge_errors(table, spent), judge_coverage(held), *judge_speed(speed)]
    where: tuple[Machine, str] = place, samples[0].taken_at[:10]
    write(
        "predict_kernels", __doc__, found, details, quick=given.quick, packages=("xgboost",), measured=where
    )


def extent(samples: Sequence[Sample]) -> dict[str, float]:
    """Return how many samples there are, and in how many minutes they came; breaks are left out."""
    at = np.sort([datetime.fromisoformat(sample.taken_at).timestamp() for sample in samples])
    between = np.diff(at)
    return {
        "samples": len(samples),
        "retests": sum(sample.sampled_by == "retest" for sample in samples),
        "minutes": float(between[between <= PAUSE_S].sum()) / 60.0,
        "rounds_again": sum(sample.rejected for sample in samples),
    }


def judge_errors(table: Mapping[str, Any], spent: Mapping[str, float]) -> Iterator[Finding]:
    """Hold the errors and the extent of the campaign against what was asked."""
    yield Finding(
        claim=f"A campaign takes at most {MOST_SAMPLES:,} samples and {MOST_MINUTES:g} minutes",
        measured=f"{spent['samples']:,} samples, {spent['retests']} of them second timings, in "
        f"{spent['minutes']:.0f} minutes",
        n="one thread, ONNX Runtime; published: 100,000 samples, two weeks",
        reached=spent["samples"] <= MOST_SAMPLES and spent["minutes"] <= MOST_MINUTES,
    )
    for family in (family for family in ASKED if family in table):
        own, floor = table[family], table[family]["floor"]
        later = own.get("floor_later")
        least = max(0.0 if one is None else one["mape"] for one in (floor, later))
        limit = max(LIMIT, TIMES_THE_FLOOR * least)
        sd = f" ± {stdev(own['mape_by_fold']):.1f}" if len(own["mape_by_fold"]) > 1 else ""
        yield Finding(
            claim=f"Kernels, {family}: at most {LIMIT:g} % MAPE, or {TIMES_THE_FLOOR:g} times the floor",
            measured=f"{own['scores']['mape']:.1f}{sd} %, median {own['median_error']:.1f} %; floor "
            f"{told(floor)}{f', {told(later)}' if later else ''}",
            n=f"{own['scores']['n']} kernels held out in {len(own['mape_by_fold'])} folds",
            reached=own["scores"]["mape"] <= limit,
        )


def told(floor: Mapping[str, float] | None) -> str:
    """Say a floor, and after how long it was taken."""
    return "none" if floor is None else f"{floor['mape']:.1f} % after {floor['hours']:.1f} h"


def judge_coverage(held: Mapping[str, Sequence[Held]]) -> Finding:
    """Hold the share of kernels that their intervals cover against the level."""
    every = [one for own in held.values() for one in own]
    share = 100.0 * float(np.mean([one.is_covered for one in every]))
    width = float(np.exp(np.median([one.half_width for one in every])))
    return Finding(
        claim=f"90 % intervals of kernels: {COVERED:g} ± {OFF:g} % covered, of at least {LEAST_COVERED}",
        measured=f"{share:.1f} %; the median interval reaches {100 * (width - 1):.0f} % up",
        n=f"{len(every):,} kernels of {len(held)} families",
        reached=abs(share - COVERED) <= OFF and len(every) >= LEAST_COVERED,
    )


def resnet152(device: str) -> dict[str, float]:
    """Predict ResNet-152 from its ONNX file in a process of its own; return seconds and peak memory."""
    import torch  # noqa: PLC0415  # the process that is looked at must not have it

    from juggler.models import create  # noqa: PLC0415
    from juggler.runtime.export import draft  # noqa: PLC0415

    TRIALS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TRIALS) as folder:
        graph = Path(folder) / "resnet152.onnx"
        graph.write_bytes(draft(create("resnet152").eval(), torch.randn(1, 3, 224, 224)))
        command = [sys.executable, "-m", "benchmarks.predict.kernels", "--child", str(graph), device]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def child(graph: Path, device: str) -> None:
    """Load a predictor, predict one graph, print what it took."""
    predictor = Predictor.load(device)
    begun = time.perf_counter()
    found = predictor.predict(graph, batch=1)
    seconds = time.perf_counter() - begun
    print(
        json.dumps(
            {"seconds": seconds, "peak_mb": own_peak_mib() * MIB / 1e6, "latency_ms": found.latency_ms}
        )
    )


def judge_speed(speed: Mapping[str, float] | None) -> Iterator[Finding]:
    """Hold the prediction of ResNet-152 against its limits."""
    if speed is not None:
        yield Finding(
            claim=f"A prediction for ResNet-152 in under {LIMIT_S:g} s after loading, under {LIMIT_MB:g} MB",
            measured=f"{speed['seconds']:.2f} s, {speed['peak_mb']:.0f} MB at the peak",
            n="the first prediction of a process, from its ONNX file",
            reached=speed["seconds"] < LIMIT_S and speed["peak_mb"] < LIMIT_MB,
        )


if __name__ == "__main__":
    main()
