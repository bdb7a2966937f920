"""Time the networks that predictions are tested on, and keep the times: no predictor has a part in it.

LeNet, AlexNet, VGG16 and 20 networks of other people (juggler.predict.campaign.held_out; pytorchcv, random
weights), over batches from 1 to 64. All batches of a network race in interleaved rounds; what takes above a
second races by itself in two. Batches are tried in their order, and those that must take longer than the
limit, by what the smaller ones took, are left out and listed. One file holds all, written after each
network; a run goes on where the last one stopped.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.common import ROOT
from juggler.clock.race import race
from juggler.errors import ConfigError, DataError
from juggler.files import write_atomically
from juggler.models import create
from juggler.predict.campaign.held_out import BATCHES, PAPER, UNSEEN
from juggler.runtime.export import draft
from juggler.runtime.machine import machine
from juggler.runtime.onnx_graphs.builder import normal
from juggler.runtime.open import open_session
from juggler.transform.equivalence import randomise

KEPT = ROOT / "runs" / "predict" / "networks.json"
ROUNDS, LONG_ROUNDS, LONG_MS = 5, 2, 1000.0
BLOCK_MS, WARMUP_S = 20.0, 0.3
LONGEST_MS = 3000.0
FASTER = 0.7  # of twice the time: a batch twice as large takes so much at least
IMAGE, GREY = (3, 224, 224), (1, 28, 28)
SHAPES = {"lenet": GREY, "inceptionv3": (3, 299, 299)}
MODULES = {"seresnet18": "seresnet", "wrn50_2": "wrn"}
NAMES = (*PAPER, *UNSEEN.values())

Progress = Callable[[int, int], None]
Row = dict[str, Any]


class LeNet(nn.Module):
    """LeNet-5 as it is built today: two convolutions with max pools, three dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        )
        self.classifier = nn.Sequential(
            *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[batch, 10]`."""
        y: torch.Tensor = self.classifier(self.features(x))
        return y


def network(name: str) -> nn.Module:
    """Return a network with weights and statistics drawn anew."""
    torch.manual_seed(0)
    if name == "lenet":
        module: nn.Module = LeNet()
    elif name in PAPER:
        module = create(name)
    else:
        family = next(family for family, own in UNSEEN.items() if own == name)
        module = getattr(importlib.import_module(f"pytorchcv.models.{MODULES.get(name, family)}"), name)()
    return randomise(module.eval(), torch.Generator().manual_seed(0))  # type: ignore[arg-type]


def shape_of(name: str) -> tuple[int, int, int]:
    """Return the shape of a network's input, without the batch."""
    return SHAPES.get(name, IMAGE)


def graph_of(name: str) -> bytes:
    """Return a network as ONNX."""
    return draft(network(name), torch.randn(1, *shape_of(name)))


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        backend: what runs the networks.
        threads: cores that a call may use.
        batches: inputs a call.
        rounds: turns of each.
        longest_ms: of a call.
    """

    backend: str = "onnxruntime"
    threads: int = 1
    batches: tuple[int, ...] = BATCHES
    rounds: int = ROUNDS
    longest_ms: float = LONGEST_MS


def measure_all(
    names: Sequence[str], plan: Plan, path: Path, *, minutes: float, progress: Progress
) -> dict[str, Any]:
    """Measure what is not kept yet, as far as the minutes go, and return all that is kept.

    Args:
        names: of networks.
        plan: how to measure.
        path: where times are kept.
        minutes: after which no further network is begun.
        progress: called with networks done and in all.

    Raises:
        ConfigError: what is kept was measured on another machine, or by another plan.
    """
    place = {"machine": machine().to_dict(), "backend": plan.backend, "threads": plan.threads}
    kept: dict[str, Any] = read(path) if path.is_file() else {**place, "networks": {}}
    differing = [name for name, value in place.items() if kept[name] != value]
    if differing:
        remedy = "Keep these elsewhere (--times), or delete the file"
        raise ConfigError(f"add to {path}", f"another {', '.join(differing)}", remedy)
    end_s = time.monotonic() + 60.0 * minutes
    for done, name in enumerate(names):
        progress(done, len(names))
        if name in kept["networks"]:
            continue
        if time.monotonic() >= end_s:
            break
        kept["networks"][name] = measured(name, plan)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{json.dumps(kept, indent=1, allow_nan=False)}\n".encode())
    progress(len(names), len(names))
    return kept


def read(path: Path) -> dict[str, Any]:
    """Return the times that are kept.

    Raises:
        DataError: there are none, or the file holds something else.
    """
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if {"machine", "backend", "threads", "networks"} <= set(kept):
            return kept
        found = "it holds something else"
    except (OSError, ValueError) as error:
        found = f"{type(error).__name__}: {error}"
    raise DataError(f"read measured networks from {path}", found, "Measure them: --measure")


def measured(name: str, plan: Plan) -> dict[str, list[Row]]:
    """Return a row a batch of one network, and the batches that were left out."""
    rows: list[Row] = []
    left_out: list[Row] = []
    with open_session(graph_of(name), plan.backend, threads=plan.threads) as session:
        short: dict[str, Callable[[], object]] = {}
        last_ms = last_batch = 0.0
        long: list[int] = []
        for batch in sorted(plan.batches):
            least_ms = last_ms * (FASTER * batch / last_batch if last_batch else 0.0)
            if least_ms > plan.longest_ms:
                left_out.append({"batch": batch, "at_least_ms": least_ms})
                continue
            call = partial(session.run, normal((batch, *shape_of(name))))
            start_s = time.perf_counter()
            call()
            last_ms, last_batch = 1e3 * (time.perf_counter() - start_s), float(batch)
            if last_ms > LONG_MS:
                long.append(batch)
            else:
                short[str(batch)] = call
        if short:
            rows += raced(short, plan.rounds)
        for batch in long:
            rows += raced({str(batch): partial(session.run, normal((batch, *shape_of(name))))}, LONG_ROUNDS)
    return {"rows": rows, "left_out": left_out}


def raced(calls: dict[str, Callable[[], object]], rounds: int) -> list[Row]:
    """Race some batches; a call's time is the least over rounds of a round's median."""
    found = race(calls, rounds=rounds, min_block_ms=BLOCK_MS, warmup_s=WARMUP_S)
    rows = []
    for batch, samples in found.items():
        medians = samples.round_medians_ms
        least = float(medians.min())
        spread = float(medians.max()) / least - 1.0
        rows.append({"batch": int(batch), "measured_ms": least, "spread": spread, "rounds": len(medians)})
    return rows
