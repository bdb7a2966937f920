"""Ten thousand systolic arrays over ResNet-50 in 5 s and 500 MB; a layer 1,000 times as fast as scalesim.

The sweep runs in fresh processes: every number of rows to 10,000 with as many columns as 65,536 elements
allow, in three dataflows; the seconds are the sweep's, the memory is the peak of the process, libraries
included. The layer is run by scalesim 3.0.0 (see scalesim_golden.py) and by the closed form in turns;
scalesim's seconds leave its imports out. Beside these: AlexNet on Eyeriss by level of memory, against the
published table, and the picture of the sweep, docs/explain/array-sweep.svg.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

from benchmarks.claims.scalesim_golden import SIDE, Job, environment, simulate
from benchmarks.common import ROOT, TRIALS, Finding, options, progress, write
from juggler.cost.hardware.gemm import Gemm, gemm_of, network_gemms
from juggler.cost.hardware.hierarchy import LEVELS, device
from juggler.cost.hardware.row_stationary import row_stationary
from juggler.cost.hardware.sweep import best_array, sweep, widest_within
from juggler.cost.hardware.systolic import estimate
from juggler.cost.workloads import alexnet, resnet
from juggler.files import write_atomically
from juggler.runtime.measure.peak import MIB, own_peak_mib

SHAPES, ELEMENTS = 10_000, 65_536
LIMIT_S, LIMIT_MB, LEAST_RATIO = 5.0, 500.0, 1000.0
RUNS, QUICK_RUNS = 5, 1
LAYER = gemm_of(resnet(18)["stage4.block1.shortcut"])
CALLS = 1000
BUDGET = 16_384
PUBLISHED = ROOT / "tests" / "cost" / "golden" / "eyeriss-alexnet.json"


def main() -> None:
    """Sweep in processes of their own, race scalesim, judge, write the result file and the picture."""
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, help=f"runs of each ({RUNS}; {QUICK_RUNS} with --quick)")
    parser.add_argument("--child", action="store_true", help="sweep here and write what it took as JSON")
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(swept()))
        return
    runs = arguments.runs or (QUICK_RUNS if arguments.quick else RUNS)
    sweeps, turns = [], []
    with progress("sweeping, and scalesim in turns") as report:
        for done in range(runs):
            report(done, runs)
            sweeps.append(in_a_process())
            turns.append(turn(LAYER))
        report(runs, runs)
    energies = eyeriss()
    picture(quick=arguments.quick)
    findings = [sweep_finding(sweeps), ratio_finding(turns, LAYER), *energy_findings(energies)]
    details = {
        "sweeps": sweeps,
        "layer": LAYER.to_dict(),
        "turns": turns,
        "eyeriss": energies,
        "best": best_array(network_gemms(list(resnet(50).values())), BUDGET).to_dict(),
    }
    write("systolic", __doc__, findings, details, quick=arguments.quick)


def swept() -> dict[str, float]:
    """Sweep the arrays over ResNet-50 and return what it took."""
    start_s = time.perf_counter()
    network = network_gemms(list(resnet(50).values()))
    rows = np.arange(1, SHAPES + 1)
    swept = sweep(network, rows, ELEMENTS // rows)
    seconds = time.perf_counter() - start_s
    peak_mb = own_peak_mib() * MIB / 1e6
    return {"seconds": seconds, "peak_mb": peak_mb, "shapes": len(swept.rows), "layers": len(network)}


def in_a_process() -> dict[str, float]:
    """Sweep in a fresh process and return what it says."""
    command = [sys.executable, "-m", "benchmarks.claims.systolic", "--child"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr.strip()[-2000:])
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def turn(gemm: Gemm) -> dict[str, Any]:
    """Run one layer by scalesim and by the closed form, and return the seconds of both."""
    theirs = simulate(Job("layer", "layer", gemm, SIDE, "weight_stationary"), environment())
    start_s = time.perf_counter()
    for _ in range(CALLS):
        ours = estimate(gemm, SIDE, SIDE, "weight_stationary")
    seconds = (time.perf_counter() - start_s) / CALLS
    return {
        "scalesim_s": theirs["seconds"],
        "closed_form_s": seconds,
        "same_cycles": int(ours.cycles) - 1 == theirs["total_cycles"],
    }


def eyeriss() -> dict[str, dict[str, float]]:
    """Return AlexNet's energies on Eyeriss, ours and the published, in 10^9 MACs."""
    energies = {}
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))["layers"]
    for name, layer in alexnet(batch=16).items():
        ours = row_stationary(layer, device("eyeriss"))
        energies[name] = {
            "arithmetic": ours.mac_energy / 1e9,
            **{level: ours.at(level).energy / 1e9 for level in LEVELS},
            **{f"{key}_published": value for key, value in published[name].items()},
        }
    return energies


def picture(*, quick: bool) -> None:
    """Draw cycles over the shape of the array for ResNet-50."""
    from juggler.report.cost.sweep import sweep_figure  # noqa: PLC0415
    from juggler.report.kit.svg import standalone  # noqa: PLC0415  # matplotlib, whose memory is not the sweep's

    network = network_gemms(list(resnet(50).values()))
    svg = standalone(sweep_figure(sweep(network, *widest_within(BUDGET))))
    path = TRIALS / "array-sweep.svg" if quick else ROOT / "docs" / "explain" / "array-sweep.svg"
    write_atomically(path, svg.encode())


def sweep_finding(sweeps: list[dict[str, float]]) -> Finding:
    """Hold the sweep against its claim."""
    seconds, peak_mb = (max(run[name] for run in sweeps) for name in ("seconds", "peak_mb"))
    return Finding(
        claim="Sweep of 10,000 array shapes and three dataflows over ResNet-50: under 5 s and 500 MB",
        measured=f"{seconds:.2f} s, {peak_mb:.0f} MB",
        n=f"the longest of {len(sweeps)} processes",
        reached=seconds < LIMIT_S and peak_mb < LIMIT_MB,
    )


def ratio_finding(turns: list[dict[str, Any]], gemm: Gemm) -> Finding:
    """Hold the speed against scalesim's on the same layer."""
    ratios = [turn["scalesim_s"] / turn["closed_form_s"] for turn in turns]
    theirs, ours = (
        statistics.median(turn[name] for turn in turns) for name in ("scalesim_s", "closed_form_s")
    )
    return Finding(
        claim="Systolic model: the cycles of scalesim 3.0.0, at least 1,000 times faster on the same layer",
        measured=f"{statistics.median(ratios):,.0f} times: {ours * 1e6:.0f} us for {theirs:.1f} s",
        n=f"median of {len(turns)} turns, {gemm.m} x {gemm.k} x {gemm.n}, 32 x 32 elements; lowest "
        f"{min(ratios):,.0f}",
        reached=min(ratios) >= LEAST_RATIO and all(turn["same_cycles"] for turn in turns),
    )


def energy_findings(energies: dict[str, dict[str, float]]) -> list[Finding]:
    """Hold AlexNet's energies against the published table; DRAM's deviation is stated, not limited."""
    worst_mac, worst_register = (
        max(abs(row[name] - row[f"{name}_published"]) - 0.005 for row in energies.values())
        for name in ("arithmetic", "register")
    )
    share = max(abs(row["register"] / row["register_published"] - 1) for row in energies.values())
    conv, full = (
        [row["dram"] / row["dram_published"] - 1 for name, row in energies.items() if name.startswith(kind)]
        for kind in ("conv", "fc")
    )
    return [
        Finding(
            claim="AlexNet on Eyeriss, 16 images: arithmetic as published, registers within 10 %",
            measured=f"arithmetic {'to both decimals' if worst_mac <= 0 else 'off'}, registers within "
            f"{share:.1%}; DRAM {min(conv):+.0%} to {max(conv):+.0%} in convolutions, {min(full):+.0%} to "
            f"{max(full):+.0%} in the others",
            n=f"{len(energies)} layers; the mapping of the published figures is not known",
            reached=worst_mac <= 0 and (share <= 0.10 or worst_register <= 0),
        )
    ]


if __name__ == "__main__":
    main()
