"""What the networks of the study take: all of them flat, on ONNX Runtime, batch 1, in one interleaved race.

Every variant's network at the study's depths and width is made, flattened and exported, and those whose
graphs are alike (a flat Juggler-ResNet is the same whatever levers it was trained with) race once. What
weights hold does not change how long they take, so the networks need not have been trained: this runs
before the study or after it, and never beside it, for training would disturb the clock. `report.py` reads
what is written here.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from benchmarks.accuracy.flat_race import BACKEND, SHAPE, SIDE_PX, graph_of, latencies
from benchmarks.accuracy.scale import RUNS, STUDIES, Scale, add_flags, options_of, remembered, scale_of
from benchmarks.accuracy.variants import read_cast
from benchmarks.accuracy.widths import SPEED_UPS, widths_of
from benchmarks.common import Finding, write
from juggler.cli.console import bar
from juggler.clock.race import ratio
from juggler.reproduce.counting import count

ROUNDS, QUICK_ROUNDS = 60, 8


def main() -> None:
    """Make the networks, race them, write the result file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_flags(parser)
    parser.add_argument("--quick", action="store_true", help="a short trial, written to build/benchmarks")
    parser.add_argument("--last", action="store_true", help="at the scale of the last study of the preset")
    parser.add_argument("--threads", type=int, help="cores that one call may use; the runtime's own choice")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", type=Path, default=RUNS)
    given = parser.parse_args()
    scale = scale_of(given)
    if given.last:
        scale, _ = remembered(scale.preset, given.folder)
    rounds = QUICK_ROUNDS if given.quick else given.rounds
    details = measured(scale, given.folder, rounds, given.threads)
    write(f"{STUDIES[scale.preset]}_front", __doc__, judge(details), details, quick=given.quick)


def measured(scale: Scale, folder: Path, rounds: int, threads: int | None) -> dict[str, Any]:
    """Return the latency of every variant at every depth, and the speed-up over its ResNet."""
    cast, widths = read_cast(), widths_of(scale, folder)
    graphs: dict[str, bytes] = {}
    members: dict[str, list[tuple[str, int]]] = {}
    shown: dict[str, str] = {}
    for depth in scale.depths:
        for variant in cast.chosen(("table5", "fig7", "front")):
            name = variant.network.replace("{depth}", str(depth))
            graph = graph_of(name, options_of(variant, depth, scale, widths))
            key = sketch_of(graph)
            graphs.setdefault(key, graph)
            members.setdefault(key, []).append((variant.name, depth))
            shown.setdefault(key, f"{variant.name}-{depth}")
    rows = []
    with bar(f"{len(graphs)} networks") as report:
        raced = latencies(
            {shown[key]: graph for key, graph in graphs.items()}, None, rounds, threads, progress=report
        )
    for key, those in members.items():
        shape = count(graphs[key], SHAPE)
        own = raced[shown[key]] | {
            "macs": shape.macs,
            "parameters": shape.parameters,
            "kernels": shape.kernels,
        }
        rows += [{"variant": name, "depth": depth, "raced_as": shown[key], **own} for name, depth in those]
    return {
        "scale": scale.to_dict(),
        "backend": BACKEND,
        "side_px": SIDE_PX,
        "batch": 1,
        "threads": threads,
        "rounds": rounds,
        "widths": {size: {str(d): list(w) for d, w in own.items()} for size, own in widths.items()},
        "networks": [with_gain(row, raced, rows) for row in rows],
    }


def with_gain(row: Mapping[str, Any], raced: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return a network's figures with how many times as fast as the ResNet of its depth it is."""
    base = next((r for r in rows if (r["variant"], r["depth"]) == ("resnet", row["depth"])), None)
    plain = {key: value for key, value in row.items() if key != "samples"}
    if base is None:
        return plain
    gain = ratio(raced[base["raced_as"]]["samples"], raced[row["raced_as"]]["samples"])
    return plain | {"times_as_fast": gain.to_dict()}


def sketch_of(graph: bytes) -> str:
    """Return a digest of what a graph is made of: operators, attributes, shapes of weights; no values."""
    parts = onnx.load_from_string(graph).graph
    sizes = {tensor.name: tuple(tensor.dims) for tensor in parts.initializer}
    lines = [
        f"{node.op_type} {[sizes.get(name) for name in node.input]} "
        f"{sorted((a.name, a.i, a.f, tuple(a.ints)) for a in node.attribute)}"
        for node in parts.node
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def judge(details: Mapping[str, Any]) -> list[Finding]:
    """Hold the flat Juggler-ResNets' speed-ups against the claims."""
    findings = []
    for row in details["networks"]:
        if row["variant"] != "juggler":
            continue
        gain, limit = row["times_as_fast"], SPEED_UPS[row["depth"]]
        findings.append(
            Finding(
                claim=f"Flat Juggler-ResNet-{row['depth']} is at least {limit} times as fast as ResNet-"
                f"{row['depth']} on ONNX Runtime, {SIDE_PX} px, batch 1, width {details['scale']['width']:g}",
                measured=f"{gain['median']:.2f}x",
                n=f"{details['rounds']} rounds, {gain['low']:.2f} to {gain['high']:.2f}",
                reached=gain["median"] >= limit,
            )
        )
    return findings


if __name__ == "__main__":
    main()
