"""Flattening ResNet-152 takes under 20 s and under 3 GB, certificate included.

ResNet-152 and the wide Juggler-ResNet-152, every weight and statistic drawn anew, at 224 px: each in a fresh
process, on every core. The seconds are those of `flatten`, from the call to the certificate, and beside
them those of all cores together; the memory is the peak of the process, libraries included. The phases are
split by the first and the last rewrite that is reported: the graph is read and the forms are chosen before
them, the certificate comes after.
With --profile the costliest functions are listed too, in a run of their own, for profiling takes time.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.common import ROOT, Finding, options, progress, write
from juggler.models import create
from juggler.nouns import Rewrite
from juggler.runtime.measure.peak import MIB, own_peak_mib
from juggler.transform import flatten, trace
from juggler.transform.equivalence import randomise

LIMIT_S, LIMIT_GB = 20.0, 3.0
SIDE, CLASSES = 224, 1000
CLAIMED = "resnet152"
NETWORKS = (CLAIMED, "juggler_resnet152")
RUNS, QUICK_RUNS = 3, 1
LISTED = 25


def main() -> None:
    """Flatten every network in processes of its own, judge, write the result file."""
    parser = options(__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--runs", type=int, help=f"processes a network ({RUNS}; {QUICK_RUNS} with --quick)")
    parser.add_argument("--profile", action="store_true", help="list the costliest functions as well")
    parser.add_argument("--child", help="flatten this network here and write what it took as JSON")
    given = parser.parse_args()
    if given.child:
        print(json.dumps(flattened(given.child, profiled=given.profile)))
        return
    runs = given.runs or (QUICK_RUNS if given.quick else RUNS)
    networks: dict[str, Any] = {}
    jobs = [name for name in given.networks for _ in range(runs)]
    with progress("flattening") as tell:
        for done, name in enumerate(jobs):
            tell(done, len(jobs))
            networks.setdefault(name, []).append(in_a_process(name))
        tell(len(jobs), len(jobs))
    details = {name: described(found) for name, found in networks.items()}
    if given.profile:
        for name, detail in details.items():
            detail["profile"] = in_a_process(name, "--profile")["profile"]
    findings = [finding(name, detail) for name, detail in details.items()]
    settings = {"side_px": SIDE, "batch": 1, "dtype": "float32", "threads": torch.get_num_threads()}
    write("flatten_cost", __doc__, findings, {**settings, "networks": details}, quick=given.quick)


def in_a_process(name: str, *more: str) -> dict[str, Any]:
    """Flatten a network in a fresh process and return what it says."""
    command = [sys.executable, "-m", "benchmarks.claims.flatten_cost", "--child", name, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip()[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def flattened(name: str, *, profiled: bool) -> dict[str, Any]:
    """Draw a network, flatten it, return the seconds, the peaks and what came out."""
    network = drawn(name)
    example = torch.randn(1, 3, SIDE, SIDE)
    before_gb = peak_gb()
    rewritten_s: list[float] = []
    profile = cProfile.Profile()
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    if profiled:
        profile.enable()
    done = flatten(network, example, on_rewrite=noting(rewritten_s))
    profile.disable()
    seconds, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    first_s, last_s = (rewritten_s[0], rewritten_s[-1]) if rewritten_s else (start_s, start_s)
    return {
        "seconds": seconds,
        "core_seconds": cpu_s,
        "phases_s": {
            "to the first rewrite": first_s - start_s,
            "to the last rewrite": last_s - first_s,
            "certificate and the rest": start_s + seconds - last_s,
        },
        "peak_rss_gb": peak_gb(),
        "peak_rss_before_gb": before_gb,
        "nodes_wide": len(done.wide_graph.nodes),
        "nodes_flat": len(done.flat_graph.nodes),
        "rewrites": len(done.rewrites),
        "refusals": len(done.refusals),
        "parameters": sum(p.numel() for p in network.parameters()),
        "passed": done.certificate.passed,
        "profile": list(costliest(profile)) if profiled else [],
    }


def drawn(name: str) -> nn.Module:
    """Return a network with every weight and statistic drawn anew: fresh batch norms hide errors."""
    torch.manual_seed(152)
    network = create(name, classes=CLASSES).eval()
    values = randomise(trace(network), torch.Generator().manual_seed(152)).state_dict()
    network.load_state_dict(values)
    return network


def noting(moments_s: list[float]) -> Callable[[Rewrite], None]:
    """Return what notes when it is called."""
    return lambda _: moments_s.append(time.perf_counter())


def peak_gb() -> float:
    """Return the largest resident memory of this process so far, in units of 10^9 bytes."""
    return own_peak_mib() * MIB / 1e9


def costliest(profile: cProfile.Profile) -> Iterator[dict[str, Any]]:
    """Yield the functions in which most time is spent, callees left out, and with them."""
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # has no public reader
    ranked = sorted(stats.items(), key=lambda item: item[1][2], reverse=True)
    for (file, line, function), (_, calls, own_s, all_s, _) in ranked[:LISTED]:
        where = "/".join(Path(file).parts[-2:])
        yield {"function": f"{where}:{line} {function}", "calls": calls, "own_s": own_s, "all_s": all_s}


def described(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the runs of one network, and their medians."""
    seconds = [run["seconds"] for run in found]
    phases = {
        phase: statistics.median(run["phases_s"][phase] for run in found) for phase in found[0]["phases_s"]
    }
    return {
        **{key: value for key, value in found[0].items() if key != "profile"},
        "seconds": statistics.median(seconds),
        "seconds_of_each": seconds,
        "phases_s": phases,
        "peak_rss_gb": max(run["peak_rss_gb"] for run in found),
        "passed": all(run["passed"] for run in found),
    }


def finding(name: str, found: Mapping[str, Any]) -> Finding:
    """Hold one network against the claim."""
    label = {"resnet152": "ResNet-152", "juggler_resnet152": "wide Juggler-ResNet-152"}.get(name, name)
    runs = found["seconds_of_each"]
    return Finding(
        claim=f"Flattening {label}, certificate included: under {LIMIT_S:.0f} s and {LIMIT_GB:.0f} GB",
        measured=f"{max(runs):.1f} s, {found['peak_rss_gb']:.2f} GB at the peak, {found['nodes_wide']} nodes "
        f"to {found['nodes_flat']}",
        n=f"the longest of {len(runs)} processes",
        reached=max(runs) < LIMIT_S and found["peak_rss_gb"] < LIMIT_GB and found["passed"],
    )


if __name__ == "__main__":
    main()
