"""Whole networks that no learner saw are predicted within 8 % on average, 80 % of them within 10 %.

LeNet, AlexNet and VGG16 over batches from 1 to 64, as in section 6.2 of ResPerfNet, and 20 networks of other
people (juggler.predict.held_out; pytorchcv, random weights). Each is predicted first, with its 90 % interval;
then all batches of a few networks race on the predictor's own runtime, interleaved, with as many threads as
its kernels were timed with. A network's time is the least over rounds of a round's median, as in a campaign.
Calls that are predicted to take longer than --longest-ms are left out, and listed.

The share that the intervals cover has a binomial 95 % interval over the networks: a network counts as covered
by its batch that was drawn, one a network, for its batches err together. The paper's Eq. 2 stands beside.

Needs a predictor of this machine: juggler campaign, then juggler fit. A result on another machine is marked.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from common import Finding, options, progress, write
from torch import nn

from juggler.cost.clock import race
from juggler.models import create
from juggler.predict.conformal import binomial_interval
from juggler.predict.graphs import normal
from juggler.predict.held_out import BATCHES, PAPER, UNSEEN
from juggler.predict.machine_check import differences
from juggler.predict.prediction import Prediction
from juggler.predict.predictor import Predictor
from juggler.predict.scores import Scores, score
from juggler.runtime.export import draft
from juggler.runtime.open import open_session
from juggler.transform.equivalence import randomise

ROUNDS, BLOCK_MS, WARMUP_S = 5, 20.0, 0.5
TOGETHER = 3  # networks of one race
IMAGE, GREY = (3, 224, 224), (1, 28, 28)
SHAPES = {"lenet": GREY, "inceptionv3": (3, 299, 299)}
LIMITS = {"mape": 8.0, "within_10": 80.0, "level": 0.9}
STRETCH = {"mape": 5.0, "within_10": 90.0}
PUBLISHED = {"mape": 8.4, "of": "ResPerfNet, TensorFlow on a GTX 1080 Ti, three networks"}
MODULES = {"seresnet18": "seresnet", "wrn50_2": "wrn"}


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


def main() -> None:
    """Predict, measure, compare; write the result file."""
    given = arguments()
    predictor = Predictor.load(given.device)
    names = [*PAPER, *UNSEEN.values()]
    chosen = [name for name in names if name in given.only or not given.only]
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    with progress(f"{len(chosen)} networks") as tell:
        for start in range(0, len(chosen), TOGETHER):
            tell(start, len(chosen))
            found, skipped = examine(chosen[start : start + TOGETHER], predictor, given)
            rows += found
            left_out += skipped
        tell(len(chosen), len(chosen))
    details = {
        "device": predictor.name,
        "fitted_at": predictor.fitted_at,
        "differs": list(differences(predictor)),
        "backend": f"{predictor.backend} {predictor.release}",
        "threads": predictor.threads,
        "rounds": given.rounds,
        "level": predictor.networks.level,
        "calibrated_on": predictor.networks.counts,
        "published": PUBLISHED,
        "stretch": STRETCH,
        "by_network": by_network(rows),
        "left_out": left_out,
        "networks": rows,
    }
    quick = given.quick or bool(given.only)
    write("predict_networks", __doc__, list(judge(rows)), details, quick=quick, packages=("pytorchcv",))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options(__doc__)
    parser.add_argument("--device", required=True, help="a predictor's file, or the name of one that ships")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="networks")
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES), help="inputs a call")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each ({ROUNDS})")
    parser.add_argument("--longest-ms", type=float, default=4000.0, help="of a call, as predicted (4000)")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.batches, given.longest_ms = 2, [1, 2], min(given.longest_ms, 100.0)
    return given


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
    return randomise(module.eval(), torch.Generator().manual_seed(0))


def examine(
    names: Sequence[str], predictor: Predictor, given: argparse.Namespace
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Predict and measure a few networks at all batches; return a row each, and what was left out."""
    predicted: dict[str, Prediction] = {}
    left_out: list[dict[str, Any]] = []
    with ExitStack() as stack:
        calls = {}
        for name in names:
            shape = SHAPES.get(name, IMAGE)
            graph = draft(network(name), torch.randn(1, *shape))
            session = stack.enter_context(open_session(graph, predictor.backend, threads=predictor.threads))
            for batch in given.batches:
                found = predictor.predict(graph, batch=batch, name=name)
                if found.latency_ms > given.longest_ms:
                    left_out.append({"network": name, "batch": batch, "predicted_ms": found.latency_ms})
                    continue
                key = f"{name}@{batch}"
                predicted[key] = found
                calls[key] = partial(session.run, normal((batch, *shape)))
        options_ = {"rounds": given.rounds, "min_block_ms": BLOCK_MS, "warmup_s": WARMUP_S}
        raced = race(calls, **options_) if calls else {}
    return [row(predicted[key], samples.round_medians_ms) for key, samples in raced.items()], left_out


def row(found: Prediction, medians_ms: Any) -> dict[str, Any]:
    """Return one network at one batch as plain values."""
    measured_ms = float(medians_ms.min())
    return {
        "network": found.network,
        "batch": found.batch,
        "measured_ms": measured_ms,
        "spread": float(medians_ms.max()) / measured_ms - 1.0,
        "predicted_ms": found.latency_ms,
        "low_ms": found.low_ms,
        "high_ms": found.high_ms,
        "covered": found.low_ms <= measured_ms <= found.high_ms,
        "paper_ms": found.paper_ms,
        "kernels": len(found.layers),
        "extrapolated": len(found.extrapolated),
        "uncovered": [one.to_dict() for one in found.uncovered],
        "uncovered_share": 1.0 - found.covered_share,
    }


def scores_of(rows: Sequence[Mapping[str, Any]], key: str = "predicted_ms") -> Scores:
    """Score one of the predictions against what was measured."""
    own = [one for one in rows if one[key] is not None]
    return score([one["measured_ms"] for one in own], [one[key] for one in own])


def by_network(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of each network over its batches."""
    names = dict.fromkeys(one["network"] for one in rows)
    return {name: scores_of([one for one in rows if one["network"] == name]).to_dict() for name in names}


def drawn(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return one batch of each network, drawn by a fixed seed."""
    names = list(dict.fromkeys(one["network"] for one in rows))
    generator = np.random.default_rng(0)
    found = []
    for name in names:
        own = [one for one in rows if one["network"] == name]
        found.append(own[int(generator.integers(len(own)))])
    return found


def judge(rows: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Hold what came out against the claims."""
    unseen = [one for one in rows if one["network"] in UNSEEN.values()]
    paper = [one for one in rows if one["network"] in PAPER]
    for what, own in (("Unseen networks", unseen), ("LeNet, AlexNet and VGG16", paper)):
        if own:
            yield from _accuracy(what, own)
    if rows:
        yield _coverage(rows)


def _accuracy(what: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    found = scores_of(rows)
    number = f"{len({one['network'] for one in rows})} networks, {len(rows)} with their batches"
    eq2 = [one for one in rows if one["paper_ms"] is not None]
    beside = f"; the paper's Eq. 2 on the same kernels {scores_of(eq2, 'paper_ms').mape:.1f} %" if eq2 else ""
    yield Finding(
        claim=f"{what}, batch 1 to 64: at most {LIMITS['mape']:g} % MAPE (published for ResPerfNet: 8.4)",
        measured=f"{found.mape:.1f} %{beside}",
        n=number,
        reached=found.mape <= LIMITS["mape"],
    )
    yield Finding(
        claim=f"{what}, batch 1 to 64: at least {LIMITS['within_10']:g} % within 10 %",
        measured=f"{found.within_10:.0f} % within 10 %, {found.within_5:.0f} % within 5 %",
        n=number,
        reached=found.within_10 >= LIMITS["within_10"],
    )


def _coverage(rows: Sequence[Mapping[str, Any]]) -> Finding:
    one_each = drawn(rows)
    hits = sum(bool(one["covered"]) for one in one_each)
    low, high = binomial_interval(hits, len(one_each))
    share = float(np.mean([one["covered"] for one in rows]))
    width = float(np.median([one["high_ms"] / one["predicted_ms"] - 1.0 for one in rows]))
    return Finding(
        claim="90 % intervals of networks: the binomial 95 % interval of their coverage contains 90 %",
        measured=f"{hits} of {len(one_each)} covered (95 % interval {100 * low:.0f} to {100 * high:.0f} %); "
        f"{100 * share:.0f} % of all batches; the interval reaches {100 * width:.0f} % up",
        n=f"{len(one_each)} networks, one batch drawn of each",
        reached=low <= LIMITS["level"] <= high,
    )


if __name__ == "__main__":
    main()
