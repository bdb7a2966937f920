"""Any network flattens or is refused with a reason, and none gets slower: over 40 networks, over 20 families.

Networks of pytorchcv and Hugging Face transformers, and the re-parameterisable blocks of the literature, with
random weights and statistics (others_networks.py). Each is flattened and certified; then the network as it
was exported, with every graph optimisation of the runtime on, races its flat form on ONNX Runtime and on
OpenVINO, batch 1, float32, interleaved, from which come the median ratio and its 95 % interval. A network
that comes out slower is raced once more with sessions opened anew, for one 95 % interval in forty lies to the
wrong side by chance: it counts as slower if both lie there, and both are kept.

One file a network is kept in runs/others, and a run goes on where the last one stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from benchmarks.claims.others_networks import Network, named, shrunk
from benchmarks.common import ROOT, Finding, options, progress, write
from juggler.clock.race import race, ratio
from juggler.errors import JugglerError
from juggler.files import write_atomically
from juggler.runtime.export import export
from juggler.runtime.measure.contenders import open_contenders
from juggler.runtime.tuning.flattening import flatten
from juggler.transform import Flattened

RUNS = ROOT / "runs" / "others"
BACKENDS = ("onnxruntime", "openvino")
LIMIT = 1e-10
LEAST = {"networks": 40, "families": 20}
WIDENED = ("RepVGG", "ACNet", "DBB", "MobileOne", "ExpandNet", "Juggler-ResNet")  # by us, for training
LINEAR = ("DBB", "RepVGG", "ACNet", "DiracNet", "Inception")  # families whose regions are more than a norm
ROUNDS, FEWEST_ROUNDS, WARMUP_S, TURN_S = 60, 15, 0.3, 0.02


def main() -> None:
    """Flatten, certify and race every network that has no result yet; write the result file."""
    given = arguments()
    chosen = named(given.only)
    folder = RUNS / f"{given.policy}{'-quick' if given.quick else ''}"
    with progress(f"{len(chosen)} networks") as tell:
        for done, network in enumerate(chosen):
            tell(done, len(chosen))
            path = folder / f"{network.name}.json"
            if given.again or not path.is_file():
                result = examine(network, given)
                write_atomically(path, f"{json.dumps(result, indent=1)}\n".encode())
        tell(len(chosen), len(chosen))
    results = [json.loads((folder / f"{one.name}.json").read_text(encoding="utf-8")) for one in chosen]
    settings = {"policy": given.policy, "batch": 1, "dtype": "float32", "threads": given.threads}
    details = {**settings, "families": by_family(results), "networks": results}
    quick = given.quick or bool(given.only)
    write("others", __doc__, judge(results), details, quick=quick, packages=("pytorchcv", "transformers"))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="networks or families")
    parser.add_argument("--policy", default="measure", choices=["work", "measure", "always", "never"])
    parser.add_argument("--seconds-a-race", type=float, default=8.0, help="on each backend (8)")
    parser.add_argument("--backends", nargs="*", default=list(BACKENDS), help="none: no races")
    parser.add_argument("--threads", type=int, help="cores that one call may use; each backend's own choice")
    parser.add_argument("--again", action="store_true", help="do not keep what earlier runs found")
    given = parser.parse_args()
    if given.quick:
        given.seconds_a_race = min(given.seconds_a_race, 1.0)
    return given


def examine(network: Network, given: argparse.Namespace) -> dict[str, Any]:
    """Flatten one network for each backend, and race it; return all figures as plain values."""
    found: dict[str, Any] = {"name": network.name, "family": network.family}
    model, example = network.drawn(), network.example()
    if given.quick:
        model, example = shrunk(network, model)
    found["shape"] = list(example.shape[1:])
    flats: dict[str, Flattened] = {}
    try:
        for backend in given.backends if given.policy == "measure" else ["any"]:
            start = time.monotonic()
            flats[backend] = flattened(model, example, given, backend)
            told = description(flats[backend]) | {"flattened_s": round(time.monotonic() - start, 2)}
            found.setdefault("flat", {})[backend] = told
        found |= races(model, flats, example, given)
    except JugglerError as error:
        return found | {"refused": {"asked": error.asked, "found": error.found, "remedy": error.remedy}}
    except Exception as error:  # noqa: BLE001  # a fault of ours, to be seen in the table and mended
        return found | {"failed": f"{type(error).__name__}: {error}"[:600]}
    return found


def races(
    model: torch.nn.Module, flats: Mapping[str, Flattened], example: torch.Tensor, given: argparse.Namespace
) -> dict[str, Any]:
    """Race a network on every backend; say where it could not be."""
    found: dict[str, Any] = {}
    for backend in given.backends:
        flat = flats[backend if given.policy == "measure" else "any"].model
        try:
            race_of = raced(export(model, example), export(flat, example), example, backend, given)
            found.setdefault("races", {})[backend] = race_of
        except JugglerError as error:  # the original cannot be exported, or the runtime lacks an op of it
            found.setdefault("unraced", {})[backend] = f"{error.asked}: {error.found}"[:300]
    return found


def flattened(
    model: torch.nn.Module, example: torch.Tensor, given: argparse.Namespace, backend: str
) -> Flattened:
    """Flatten by the policy; `measure` asks the backend's own clock."""
    if given.policy != "measure":
        return flatten(model, example, policy=given.policy)
    return flatten(model, example, policy="measure", backend=backend, threads=given.threads)


def description(done: Flattened) -> dict[str, Any]:
    """Return what was done to a network and how well it is proved."""
    borders = [check.border or 0.0 for check in done.certificate.checks if check.dtype == "float64"]
    refusals = Counter((refusal.rule, refusal.reason, refusal.remedy) for refusal in done.refusals)
    return {
        "certified": done.certificate.passed,
        "float64": done.certificate.worst("float64"),
        "float64_border": max(borders, default=0.0),
        "float32": done.certificate.worst("float32"),
        "rewrites": dict(Counter(rewrite.rule for rewrite in done.rewrites).most_common()),
        "refusals": len(done.refusals),
        "refused_by": dict(Counter(refusal.rule for refusal in done.refusals).most_common()),
        "reasons": [
            {"rule": rule, "times": times, "reason": reason, "remedy": remedy}
            for (rule, reason, remedy), times in refusals.most_common(5)
        ],
        "forms": dict(Counter(decision.form for decision in done.decisions).most_common()),
        "whole": done.decisions[-1].reason if done.decisions else "",
        "nodes": [len(done.wide_graph.nodes), len(done.flat_graph.nodes)],
        "macs": [done.wide_graph.macs, done.flat_graph.macs],
    }


def raced(
    original: bytes, flat: bytes, example: torch.Tensor, backend: str, given: argparse.Namespace
) -> dict[str, Any]:
    """Race the original against the flat one; once more if the flat one comes out slower."""
    first = one_race(original, flat, example, backend, given, seed=0)
    if first["high"] >= 1.0:
        return first
    return one_race(original, flat, example, backend, given, seed=1) | {"first": first}


def one_race(
    original: bytes, flat: bytes, example: torch.Tensor, backend: str, given: argparse.Namespace, *, seed: int
) -> dict[str, Any]:
    """Return how many times longer the original takes, and the medians of both."""
    with ExitStack() as stack:
        contenders = stack.enter_context(
            open_contenders(
                {"original": original, "flat": flat},
                [backend],
                shape=example.shape[1:],
                threads=given.threads,
                seed=seed,
            )
        )
        calls = {entry.subject: call for entry, call in contenders.calls.items()}
        rounds = affordable(list(calls.values()), given.seconds_a_race)
        samples = race(calls, rounds=rounds, warmup_s=WARMUP_S, seed=seed)
    found = ratio(samples["original"], samples["flat"], seed=seed)
    return {
        "times": found.median,
        "low": found.low,
        "high": found.high,
        "original_ms": samples["original"].median_ms,
        "flat_ms": samples["flat"].median_ms,
        "rounds": rounds,
    }


def affordable(calls: Sequence[Any], seconds: float) -> int:
    """Return how many rounds fit into a race of about so many seconds."""
    start = time.perf_counter()
    for call in (*calls, *calls):
        call()
    round_s = (time.perf_counter() - start) + TURN_S * len(calls)  # a turn leads in by a call, then times one
    return int(np.clip(seconds / round_s, FEWEST_ROUNDS, ROUNDS))


def by_family(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the geometric mean of the ratios of each family, by backend."""
    families: dict[str, dict[str, list[float]]] = {}
    for result in results:
        for backend, one in result.get("races", {}).items():
            families.setdefault(result["family"], {}).setdefault(backend, []).append(one["times"])
    return {
        family: {backend: {"times": geometric_mean(t), "networks": len(t)} for backend, t in found.items()}
        for family, found in sorted(families.items())
    }


def geometric_mean(values: Sequence[float]) -> float:
    """Return the mean of ratios."""
    return float(np.exp(np.mean(np.log(values))))


def judge(results: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Hold what came out against the claims."""
    families = {result["family"] for result in results}
    enough = len(results) >= LEAST["networks"] and len(families) >= LEAST["families"]
    proofs = [proof for result in results for proof in result.get("flat", {}).values()]
    refused = [result["name"] for result in results if "refused" in result]
    failed = sorted(
        {r["name"] for r in results for proof in r.get("flat", {}).values() if not proof["certified"]}
        | {result["name"] for result in results if "failed" in result}
    )
    unraced = [result["name"] for result in results if "unraced" in result]
    worst = max((proof["float64"] for proof in proofs), default=0.0)
    number = f"{len(results)} networks of {len(families)} families"
    findings = [
        Finding(
            claim="At least 40 networks of at least 20 families: each flattened and certified, or refused "
            "with a reason",
            measured=f"{len(results) - len(refused) - len(failed)} certified, {len(refused)} refused"
            + (f" ({', '.join(refused)})" if refused else "")
            + (f", NOT certified: {', '.join(failed)}" if failed else "")
            + (f"; of these not raced everywhere: {', '.join(unraced)}" if unraced else ""),
            n=number,
            reached=enough and not failed,
        ),
        Finding(
            claim="Largest float64 relative error of a certified network, border included: at most 1e-10",
            measured=f"{worst:.1e}",
            n=f"{len(proofs)} certificates",
            reached=worst <= LIMIT,
        ),
    ]
    return [*findings, *speeds(results)]


def speeds(results: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Hold the races on each backend against the claims: none slower, the mean at least 1."""
    raced_on = dict.fromkeys(name for result in results for name in result.get("races", {}))
    for backend in raced_on:
        found = {r["name"]: r["races"][backend] for r in results if backend in r.get("races", {})}
        slower = [name for name, one in found.items() if one["high"] < 1.0]
        faster = sum(one["low"] > 1.0 for one in found.values())
        mean = geometric_mean([one["times"] for one in found.values()])
        others = [r for r in results if r["family"] not in WIDENED and r["name"] in found]
        plain = geometric_mean([found[r["name"]]["times"] for r in others]) if others else mean
        names = f" ({', '.join(slower)})" if slower else ""
        yield Finding(
            claim=f"No network slower than the runtime's own optimised original, {backend}",
            measured=f"{len(slower)} slower{names}, {faster} faster, "
            f"{len(found) - len(slower) - faster} the same",
            n=f"{len(found)} networks, 95 % intervals",
            reached=not slower,
        )
        yield Finding(
            claim=f"Geometric mean over all networks against the original, {backend}: at least 1",
            measured=f"{mean:.3f}x; {plain:.3f}x without the six that are wide for training",
            n=f"{len(found)} networks",
            reached=mean >= 1.0,
        )
        yield from linear(results, backend)


def linear(results: Sequence[Mapping[str, Any]], backend: str) -> Iterator[Finding]:
    """Hold the families with linear regions of their own against the claim that they get faster."""
    by = {
        family: [
            r["races"][backend] for r in results if r["family"] == family and backend in r.get("races", {})
        ]
        for family in LINEAR
    }
    raced_ones = {family: found for family, found in by.items() if found}
    if raced_ones:
        told = [
            f"{family} {geometric_mean([one['times'] for one in found]):.2f}x"
            for family, found in raced_ones.items()
        ]
        faster = [all(one["low"] > 1.0 for one in found) for found in raced_ones.values()]
        yield Finding(
            claim=f"Faster where linear regions are more than a batch norm, {backend}",
            measured=", ".join(told),
            n=f"{sum(map(len, raced_ones.values()))} networks, 95 % intervals",
            reached=all(faster),
        )


if __name__ == "__main__":
    main()
