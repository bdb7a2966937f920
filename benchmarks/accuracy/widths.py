"""Widths that the clock chooses: as fast as the flat Juggler-ResNet, and as wide as that may be.

Thinned: a ResNet whose stages have fewer channels, the widest that takes no longer than the flat
Juggler-ResNet of its depth. Widened: a flat Juggler-ResNet that gives some of its speed back, the one with
the most work that is still as many times as fast as its ResNet as is asked of it (`SPEED_UPS`). Candidates
of both kinds race in one interleaved race on ONNX Runtime, batch 1; channels go in steps, for a runtime
computes them in blocks, and half-empty blocks cost as much as full ones. What is found is kept in
runs/accuracy/widths-<preset>.json, for the study to train. Without that file multiply-accumulates decide in
the clock's place. Not to be run beside a training.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.accuracy.flat_race import SIDE_PX, graph_of, latencies
from benchmarks.accuracy.scale import RUNS, Scale, Widths, add_flags, scale_of
from juggler.cli.console import OUT
from juggler.count import count
from juggler.files import write_atomically
from juggler.models import create

BASE = (64, 128, 256, 512)
SPEED_UPS = {18: 1.9, 34: 1.9, 50: 2.0, 101: 2.0, 152: 2.0}
"""By depth: how many times as fast as its ResNet a flat Juggler-ResNet has to be on ONNX Runtime."""
SIZES = ("thinned", "widened")
STEPS = (4, 8, 16)
SHAPE = (0.7, 1.45)  # how far a stage's width may be from its share: the ResNet's shape is kept
SHARES = tuple(i / 50 for i in range(8, 51))
RANGE = (0.15, 1.3)  # of the flat network's work; twice as many layers take longer than their work says
MOST = 24
BLOCK = 16  # channels that the runtime computes at once: a stage is widened by whole blocks
BLOCKS = 2  # by as many at most
WIDEST = 1.6  # of the flat network's work
ROUNDS = 40
TOLERANCE = 1.01  # of the flat network's latency: two sessions of one network differ by as much


def main() -> None:
    """Search at every depth of the scale, keep and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_flags(parser)
    parser.add_argument("--threads", type=int, help="cores that one call may use")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--folder", type=Path, default=RUNS)
    given = parser.parse_args()
    scale = scale_of(given)
    found = kept_widths(scale, given.folder)
    for size, depth in product(given.sizes, scale.depths):
        one = SEARCHES[size](depth, scale.width, given.threads)
        found.setdefault(size, {})[str(depth)] = one
        OUT.print(f"depth {depth}, {size}: widths {one['widths']}, {one['told']}")
    kept = {"width": scale.width, "sizes": found}
    write_atomically(place(scale, given.folder), f"{json.dumps(kept, indent=1)}\n".encode())


def place(scale: Scale, folder: Path) -> Path:
    """Return where the widths of a preset are kept."""
    return folder / f"widths-{scale.preset}.json"


def kept_widths(scale: Scale, folder: Path) -> dict[str, dict[str, Any]]:
    """Return what was found at this scale's width before, by size and depth."""
    path = place(scale, folder)
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return dict(kept.get("sizes", {})) if kept.get("width") == scale.width else {}


def widths_of(scale: Scale, folder: Path) -> Widths:
    """Return widths by size and depth: as the clock found them, or else by multiply-accumulates."""
    found = kept_widths(scale, folder)

    def one(size: str, depth: int) -> tuple[int, ...]:
        clocked = found.get(size, {}).get(str(depth))
        return tuple(clocked["widths"]) if clocked else BY_WORK[size](depth, scale.width)

    return {size: {depth: one(size, depth) for depth in scale.depths} for size in SIZES}


def thinned_by_work(depth: int, width: float) -> tuple[int, ...]:
    """Return the ResNet's widths whose multiply-accumulates are nearest to the flat network's."""
    wanted, share = flat_macs(depth, width), _wanted_share(depth, width)
    near = sorted(candidates(width), key=lambda one: abs(share_of(one, width) - share))
    return min(near[:8], key=lambda one: abs(macs_of(f"resnet{depth}", {"widths": one}) - wanted))


def widened_by_work(depth: int, width: float) -> tuple[int, ...]:
    """Return the flat network's widths whose multiply-accumulates leave it the speed-up that is asked."""
    most = macs_of(f"resnet{depth}", {"width": width}) / SPEED_UPS[depth]
    own = tuple(round(base * width) for base in BASE)
    fit = [w for w in widened(depth, width) if macs_of(f"plain{depth}", {"widths": w}) <= most]
    return max(fit, key=lambda w: macs_of(f"plain{depth}", {"widths": w}), default=own)


def widened(depth: int, width: float) -> list[tuple[int, ...]]:
    """Return the widths of flat networks with more blocks of channels, by their work, at most `WIDEST`."""
    own = [round(base * width) for base in BASE]
    steps = product(range(BLOCKS + 1), repeat=len(own))
    wider = [tuple(w + BLOCK * s for w, s in zip(own, step, strict=True)) for step in steps if any(step)]
    work = {w: macs_of(f"plain{depth}", {"widths": w}) for w in wider}
    most = WIDEST * flat_macs(depth, width)
    return sorted((w for w in wider if work[w] <= most), key=lambda w: work[w])


def candidates(width: float) -> list[tuple[int, ...]]:
    """Return the widths of thinner ResNets, each once."""
    tried = set()
    for share, step in product(SHARES, STEPS):
        wanted = [base * width * share for base in BASE]
        own = tuple(max(step, round(w / step) * step) for w in wanted)
        if all(SHAPE[0] * w <= o <= SHAPE[1] * w for o, w in zip(own, wanted, strict=True)):
            tried.add(own)
    return sorted(tried)


def share_of(widths: Sequence[int], width: float) -> float:
    """Return about what share of the whole ResNet's work a thinner one has: its stages have as much each."""
    return fmean((own / (base * width)) ** 2 for own, base in zip(widths, BASE, strict=True))


def _wanted_share(depth: int, width: float) -> float:
    return flat_macs(depth, width) / macs_of(f"resnet{depth}", {"width": width})


@cache
def flat_macs(depth: int, width: float) -> int:
    """Return the flat Juggler-ResNet's multiply-accumulates: the plain stack's, whose shapes it has."""
    return macs_of(f"plain{depth}", {"width": width})


def macs_of(network: str, options: Mapping[str, Any], shape: Sequence[int] = (3, SIDE_PX, SIDE_PX)) -> int:
    """Count a network's multiply-accumulates for one picture.

    Nothing is computed: the network is made without memory for its weights.
    """
    with torch.device("meta"):
        module = create(network, stem="cifar", in_channels=shape[0], **options).eval()
        return count(module, torch.empty(1, *shape)).macs


def thin_search(depth: int, width: float, threads: int | None) -> dict[str, Any]:
    """Race thinner ResNets against the flat network; return the widest that is no slower, and all raced."""
    share = _wanted_share(depth, width)
    ordered = sorted(candidates(width), key=lambda one: share_of(one, width))
    fit = [w for w in ordered if RANGE[0] * share <= share_of(w, width) <= RANGE[1] * share] or ordered
    times, work = raced(f"resnet{depth}", spread(fit), f"plain{depth}", width, threads)
    no_slower = [w for w, one in times.items() if one <= TOLERANCE] or [min(times, key=lambda w: times[w])]
    widest = max(no_slower, key=lambda w: work[w])
    told = f"{times[widest]:.3f} times the flat network's latency"
    told = told if times[widest] <= TOLERANCE else f"{told}; none that was tried is as fast"
    return _found(widest, times, work) | {"flat_macs": flat_macs(depth, width), "told": told}


def wide_search(depth: int, width: float, threads: int | None) -> dict[str, Any]:
    """Race wider flat networks against the ResNet; return the one of most work that is fast enough."""
    times, work = raced(f"plain{depth}", spread(widened(depth, width)), f"resnet{depth}", width, threads)
    most = 1 / (SPEED_UPS[depth] * TOLERANCE)
    fast = [w for w, one in times.items() if one <= most]
    own = tuple(round(base * width) for base in BASE)
    widest = max(fast, key=lambda w: (work[w], -times[w]), default=own)
    told = (
        f"{1 / times[widest]:.2f} times as fast as ResNet" if fast else "none that was tried is fast enough"
    )
    return _found(widest, times, work) | {"flat_macs": flat_macs(depth, width), "told": told}


def spread(ordered: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return at most `MOST` of some widths, evenly over their order."""
    if len(ordered) <= MOST:
        return [*ordered]
    return [ordered[round(i * (len(ordered) - 1) / (MOST - 1))] for i in range(MOST)]


def raced(
    network: str, tried: Sequence[tuple[int, ...]], against: str, width: float, threads: int | None
) -> tuple[dict[tuple[int, ...], float], dict[tuple[int, ...], int]]:
    """Race a network of several widths against another one; return relative latency and work of each."""
    networks = {"base": graph_of(against, {"width": width})}
    networks |= {str(list(w)): graph_of(network, {"widths": list(w)}) for w in tried}
    found = latencies(networks, against="base", rounds=ROUNDS, threads=threads)
    times = {w: found[str(list(w))]["times"] for w in tried}
    return times, {w: macs_of(network, {"widths": w}) for w in tried}


def _found(
    chosen: tuple[int, ...], times: Mapping[tuple[int, ...], float], work: Mapping[tuple[int, ...], int]
) -> dict[str, Any]:
    rows = [{"widths": list(w), "macs": work[w], "times": times[w]} for w in times]
    return {"widths": list(chosen), "times": times.get(chosen), "macs": work.get(chosen), "raced": rows}


SEARCHES: Mapping[str, Callable[[int, float, int | None], dict[str, Any]]] = {
    "thinned": thin_search,
    "widened": wide_search,
}
BY_WORK: Mapping[str, Callable[[int, float], tuple[int, ...]]] = {
    "thinned": thinned_by_work,
    "widened": widened_by_work,
}


if __name__ == "__main__":
    main()
