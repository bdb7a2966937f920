"""Twelve networks surveyed in 10 minutes and 8 GB; times follow operations, as in the paper's Fig. 21.

The survey runs in a process of its own, as `juggler survey` does: it counts each network, finds its best
array, models its energy, times all of them in turns at batch 1 on ONNX Runtime, and writes page, pictures,
CSV and JSON. The seconds are of the whole process, the memory is its peak. Correlations are of Pearson, over
the paper's seven networks: of times with operations, ours and the paper's, and of our times with the paper's.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT, TRIALS, Finding, options, write
from juggler.cli.app import main as program
from juggler.runtime.measure.peak import MIB, own_peak_mib
from juggler.survey import ORIGINS, Survey

LIMIT_S, LIMIT_GB, LEAST_CORRELATION = 600.0, 8.0, 0.8
QUICK = ("juggler.survey.catalogue:grouped_alexnet", "pytorchcv.models.resnet:resnet50", "resnet18")


def main() -> None:
    """Survey in a process of its own, judge, write the result file."""
    parser = options(__doc__)
    parser.add_argument("--child", type=Path, help="survey here into that folder, and print the peak memory")
    given = parser.parse_args()
    if given.child is not None:
        child(given.child, quick=given.quick)
        return
    TRIALS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TRIALS) as folder:
        seconds, peak_gb = whole(Path(folder), quick=given.quick)
        found = Survey.from_json((Path(folder) / "survey.json").read_text(encoding="utf-8"))
        lines = (Path(folder) / "survey.csv").read_text(encoding="utf-8").splitlines()
        page_kb = (Path(folder) / "survey.html").stat().st_size / 1e3
    findings = [cost_finding(found, seconds, peak_gb), origin_finding(found, lines)]
    if not given.quick:
        findings += time_findings(found)
    details: dict[str, Any] = {"seconds": seconds, "peak_gb": peak_gb, "page_kb": page_kb}
    write(
        "survey",
        __doc__,
        findings,
        {**details, "survey": found.to_dict()},
        quick=given.quick,
        packages=("pytorchcv", "zeus"),
    )


def whole(folder: Path, *, quick: bool) -> tuple[float, float]:
    """Run the survey in a fresh process; return its seconds and its peak memory in GB."""
    start_s = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.claims.survey", "--child", str(folder)]
    command += ["--quick"] if quick else []
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, env=os.environ)
    return time.perf_counter() - start_s, float(json.loads(done.stdout.splitlines()[-1]))


def child(folder: Path, *, quick: bool) -> None:
    """Do what `juggler survey` does, and print the peak memory of this process in GB."""
    sys.argv = ["juggler", "survey", *(QUICK if quick else ()), "--out", str(folder), "--json"]
    sys.argv += ["--rounds", "2"] if quick else []
    try:
        program()
    except SystemExit as stop:
        if stop.code:
            raise
    print(json.dumps(own_peak_mib() * MIB / 1e9))


def cost_finding(found: Survey, seconds: float, peak_gb: float) -> Finding:
    """Hold what the survey took against its limits."""
    return Finding(
        claim=f"`juggler survey` of twelve networks: under {LIMIT_S / 60:.0f} minutes and {LIMIT_GB:.0f} GB",
        measured=f"{seconds / 60:.1f} minutes, {peak_gb:.1f} GB at the peak",
        n=f"{len(found.networks)} networks in one process, {len(found.left_out)} left out",
        reached=seconds < LIMIT_S and peak_gb < LIMIT_GB and not found.left_out,
    )


def origin_finding(found: Survey, lines: Sequence[str]) -> Finding:
    """Count the figures by their origin."""
    rows = list(csv.DictReader(lines))
    origins = Counter(row["origin"] for row in rows)
    unsaid = sum(row["origin"] not in ORIGINS or not row["source"] for row in rows)
    return Finding(
        claim="Every figure of the survey says where it comes from",
        measured=", ".join(f"{count} {origin}" for origin, count in sorted(origins.items())),
        n=f"{len(rows)} figures of {len(found.networks)} networks",
        reached=not unsaid,
    )


def time_findings(found: Survey) -> list[Finding]:
    """Hold times against operations, as Fig. 21 does, and against the paper's times."""
    seven = [one for one in found.networks if "latency_ms" in one.paper]
    ours = [one.value("latency_ms") or 0.0 for one in seven]
    papers = [one.paper["latency_ms"].value or 0.0 for one in seven]
    work = correlation([one.value("gflop") or 0.0 for one in seven], ours)
    said = correlation([one.paper["gflop"].value or 0.0 for one in seven], papers)
    both = correlation(papers, ours)
    return [
        Finding(
            claim=f"Fig. 21: inference time follows operations, correlation at least {LEAST_CORRELATION}",
            measured=f"{work:.2f} here; {said:.2f} in the paper; our times with its times {both:.2f}",
            n=f"{len(seven)} networks, batch 1, {found.settings['rounds']} rounds",
            reached=work >= LEAST_CORRELATION,
        )
    ]


def correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Pearson's correlation."""
    return float(np.corrcoef(one, other)[0, 1])


if __name__ == "__main__":
    main()
