"""A ResNet thinned until it is as fast as the flat Juggler-ResNet of its depth, by the clock.

Widths are tried whose multiply-accumulates lie around those of the flat network, rounded to 4, 8 and 16
channels, for a runtime computes channels in blocks and half-empty blocks cost as much as full ones. All of
them race the flat network in one interleaved race on ONNX Runtime, batch 1. The widest one that takes no
longer is kept, in runs/accuracy/thin-<preset>.json, for the study to train. Without that file the one whose
multiply-accumulates are nearest to the flat network's is taken. Not to be run beside a training.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from scale import Scale, add_flags, scale_of
from shared import RUNS
from torch import Tensor, nn

from juggler.cli.console import OUT
from juggler.files import write_atomically
from juggler.models import create

BASE = (64, 128, 256, 512)
SIDE_PX = 32
STEPS = (4, 8, 16)
SHAPE = (0.7, 1.45)  # how far a stage's width may be from its share: the ResNet's shape is kept
SHARES = tuple(i / 50 for i in range(8, 51))
RANGE = (0.15, 1.3)  # of the flat network's work; twice as many layers take longer than their work says
MOST = 24
ROUNDS = 40
TOLERANCE = 1.01  # of the flat network's latency: two sessions of one network differ by as much


def main() -> None:
    """Search at every depth of the scale, keep and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_flags(parser)
    parser.add_argument("--threads", type=int, help="cores that one call may use")
    parser.add_argument("--folder", type=Path, default=RUNS)
    given = parser.parse_args()
    scale = scale_of(given)
    found = {depth: searched(depth, scale.width, given.threads) for depth in scale.depths}
    kept = {"width": scale.width, "depths": {str(depth): one for depth, one in found.items()}}
    write_atomically(place(scale, given.folder), f"{json.dumps(kept, indent=1)}\n".encode())
    for depth, one in found.items():
        told = f"depth {depth}: widths {one['widths']}, {one['times']:.3f} times the flat network's latency"
        OUT.print(told if one["times"] <= TOLERANCE else f"{told}; none that was tried is as fast")


def place(scale: Scale, folder: Path) -> Path:
    """Return where the widths of a preset are kept."""
    return folder / f"thin-{scale.preset}.json"


def widths_of(scale: Scale, folder: Path) -> dict[int, tuple[int, ...]]:
    """Return a thinned ResNet's widths by depth: as the clock found them, or else by multiply-accumulates."""
    path = place(scale, folder)
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = kept.get("depths", {}) if kept.get("width") == scale.width else {}
    return {
        depth: tuple(found[str(depth)]["widths"]) if str(depth) in found else by_work(depth, scale.width)
        for depth in scale.depths
    }


def by_work(depth: int, width: float) -> tuple[int, ...]:
    """Return the widths whose multiply-accumulates are nearest to the flat network's."""
    wanted, share = flat_macs(depth, width), _wanted_share(depth, width)
    near = sorted(candidates(width), key=lambda one: abs(share_of(one, width) - share))
    return min(near[:8], key=lambda one: abs(macs_of(f"resnet{depth}", {"widths": one}) - wanted))


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
    """Count the multiply-accumulates of a network's convolutions and linear layers for one picture.

    Nothing is computed: the network is made without memory for its weights.
    """
    total = 0

    def tally(layer: nn.Module, _: object, out: Tensor) -> None:
        nonlocal total
        total += out.numel() * layer.weight[0].numel()  # type: ignore[index,operator]

    with torch.device("meta"):
        module = create(network, stem="cifar", in_channels=shape[0], **options).eval()
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(tally)
        with torch.no_grad():
            module(torch.empty(1, *shape))
    return total


def searched(depth: int, width: float, threads: int | None) -> dict[str, Any]:
    """Race candidates against the flat network; return the widest that is no slower, and all raced."""
    from front import graph_of, latencies  # noqa: PLC0415  # which needs this file's widths

    wanted, share = flat_macs(depth, width), _wanted_share(depth, width)
    ordered = sorted(candidates(width), key=lambda one: share_of(one, width))
    fit = [w for w in ordered if RANGE[0] * share <= share_of(w, width) <= RANGE[1] * share] or ordered
    picked = {fit[round(i * (len(fit) - 1) / (MOST - 1))] for i in range(MOST)}
    near = {widths: macs_of(f"resnet{depth}", {"widths": widths}) for widths in sorted(picked)}
    networks = {"flat": graph_of(f"plain{depth}", {"width": width})}
    networks |= {str(list(w)): graph_of(f"resnet{depth}", {"widths": list(w)}) for w in near}
    raced = latencies(networks, against="flat", rounds=ROUNDS, threads=threads)
    times = {w: raced[str(list(w))]["times"] for w in near}
    no_slower = [w for w, one in times.items() if one <= TOLERANCE] or [min(times, key=lambda w: times[w])]
    widest = max(no_slower, key=lambda w: near[w])
    return {
        "widths": list(widest),
        "times": times[widest],
        "macs": near[widest],
        "flat_macs": wanted,
        "raced": [{"widths": list(w), "macs": near[w], "times": one} for w, one in times.items()],
    }


if __name__ == "__main__":
    main()
