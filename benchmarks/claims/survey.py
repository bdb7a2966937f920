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
    arguments = parser.parse_args()
    if arguments.child is not None:
        child(arguments.child, quick=arguments.quick)
        return
    TRIALS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TRIALS) as folder:
        seconds, peak_gb = survey_in_a_process(Path(folder), quick=arguments.quick)
        surveyed = Survey.from_json((Path(folder) / "survey.json").read_text(encoding="utf-8"))
        lines = (Path(folder) / "survey.csv").read_text(encoding="utf-8").splitlines()
        page_kb = (Path(folder) / "survey.html").stat().st_size / 1e3
    findings = [cost_finding(surveyed, seconds, peak_gb), origin_finding(surveyed, lines)]
    if not arguments.quick:
        findings += time_findings(surveyed)
    details: dict[str, Any] = {"seconds": seconds, "peak_gb": peak_gb, "page_kb": page_kb}
    write(
        "survey",
        __doc__,
        findings,
        {**details, "survey": surveyed.to_dict()},
        quick=arguments.quick,
        packages=("pytorchcv", "zeus"),
    )


def survey_in_a_process(folder: Path, *, quick: bool) -> tuple[float, float]:
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


def cost_finding(surveyed: Survey, seconds: float, peak_gb: float) -> Finding:
    """Hold what the survey took against its limits."""
    return Finding(
        claim=f"`juggler survey` of twelve networks: under {LIMIT_S / 60:.0f} minutes and {LIMIT_GB:.0f} GB",
        measured=f"{seconds / 60:.1f} minutes, {peak_gb:.1f} GB at the peak",
        n=f"{len(surveyed.networks)} networks in one process, {len(surveyed.left_out)} left out",
        reached=seconds < LIMIT_S and peak_gb < LIMIT_GB and not surveyed.left_out,
    )


def origin_finding(surveyed: Survey, lines: Sequence[str]) -> Finding:
    """Count the figures by their origin."""
    rows = list(csv.DictReader(lines))
    origins = Counter(row["origin"] for row in rows)
    unsaid = sum(row["origin"] not in ORIGINS or not row["source"] for row in rows)
    return Finding(
        claim="Every figure of the survey says where it comes from",
        measured=", ".join(f"{count} {origin}" for origin, count in sorted(origins.items())),
        n=f"{len(rows)} figures of {len(surveyed.networks)} networks",
        reached=not unsaid,
    )


def time_findings(surveyed: Survey) -> list[Finding]:
    """Hold times against operations, as Fig. 21 does, and against the paper's times."""
    seven = [network for network in surveyed.networks if "latency_ms" in network.paper]
    ours = [network.value("latency_ms") or 0.0 for network in seven]
    papers = [network.paper["latency_ms"].value or 0.0 for network in seven]
    work = correlation([network.value("gflop") or 0.0 for network in seven], ours)
    said = correlation([network.paper["gflop"].value or 0.0 for network in seven], papers)
    both = correlation(papers, ours)
    return [
        Finding(
            claim=f"Fig. 21: inference time follows operations, correlation at least {LEAST_CORRELATION}",
            measured=f"{work:.2f} here; {said:.2f} in the paper; our times with its times {both:.2f}",
            n=f"{len(seven)} networks, batch 1, {surveyed.settings['rounds']} rounds",
            reached=work >= LEAST_CORRELATION,
        )
    ]


def correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Return Pearson's correlation."""
    return float(np.corrcoef(left, right)[0, 1])


if __name__ == "__main__":
    main()
