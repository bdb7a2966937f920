"""Races of flat networks on ONNX Runtime, batch 1: what the widths are chosen by, and the front shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from juggler.clock.race import race, ratio
from juggler.errors import ConfigError
from juggler.models import create
from juggler.models.layers.annealing import anneal
from juggler.runtime.export import export
from juggler.runtime.measure.contenders import open_contenders
from juggler.runtime.tuning.flattening import flatten

BACKEND = "onnxruntime"
SIDE_PX = 32
SHAPE = (3, SIDE_PX, SIDE_PX)
BLOCK_MS, WARMUP_S = 20.0, 0.5


def graph_of(network: str, options: Mapping[str, Any]) -> bytes:
    """Return a network's flat form as an ONNX graph, its weights drawn, its annealed activations gone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: nn.Module = create(network, **{"stem": "cifar", **options}).eval()
    anneal(module, 1.0)
    example = torch.zeros(1, *SHAPE)
    return export(flatten(module, example).model, example)


def latencies(
    graphs: Mapping[str, bytes],
    against: str | None,
    rounds: int,
    threads: int | None,
    progress: Any = None,
) -> dict[str, dict[str, Any]]:
    """Race graphs in one race; return medians, and how many times longer than `against` each takes."""
    with open_contenders(graphs, [BACKEND], shape=SHAPE, threads=threads) as contenders:
        if contenders.skipped:
            raise ConfigError("race the networks", str(contenders.skipped[0]), "Install it")
        calls = {entry.subject: call for entry, call in contenders.calls.items()}
        samples = race(calls, rounds=rounds, min_block_ms=BLOCK_MS, warmup_s=WARMUP_S, progress=progress)
    found: dict[str, dict[str, Any]] = {}
    for name, own in samples.items():
        found[name] = {"latency_ms": own.median_ms, "p95_ms": own.p95_ms, "samples": own}
        if against is not None:
            found[name]["times"] = ratio(own, samples[against]).median
    return found
