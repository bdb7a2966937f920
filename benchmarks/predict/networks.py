"""Whole networks that no learner saw are predicted within 8 % on average, 80 % of them within 10 %.

LeNet, AlexNet and VGG16 over batches from 1 to 64, as in section 6.2 of ResPerfNet, and 20 networks of
other people (juggler.predict.campaign.held_out; pytorchcv, random weights). `--measure` times them and
keeps the times, with as many threads as a campaign's kernels were timed with; it needs no predictor, and
calls above 3 s are left out. `--device` holds a predictor against the times that are kept, as often as
there is a better one.

The share that the intervals cover has a binomial 95 % interval over the networks: a network counts as covered
by its batch that was drawn, one a network, for its batches err together. The paper's Eq. 2 stands beside.

Needs a predictor of this machine: juggler campaign, then juggler fit. A result on another machine is marked.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import TRIALS, Finding, options, progress, write
from benchmarks.predict.network_times import (
    KEPT,
    LONGEST_MS,
    NAMES,
    ROUNDS,
    Plan,
    graph_of,
    measure_all,
    read,
)
from juggler.nouns import Machine
from juggler.predict.campaign.held_out import BATCHES, PAPER, UNSEEN
from juggler.predict.learning.scores import Scores, score
from juggler.predict.predictor.intervals import binomial_interval
from juggler.predict.predictor.machine import differences
from juggler.predict.predictor.prediction import Prediction
from juggler.predict.predictor.predictor import Predictor

LIMITS = {"mape": 8.0, "within_10": 80.0, "level": 0.9}
STRETCH = {"mape": 5.0, "within_10": 90.0}
PUBLISHED = {"mape": 8.4, "of": "ResPerfNet, TensorFlow on a GTX 1080 Ti, three networks"}
QUICK = TRIALS / "networks.json"


def main() -> None:
    """Measure where that is asked for; compare where there is a predictor, and write the result file."""
    given = arguments()
    chosen = [name for name in NAMES if name in given.only or not given.only]
    if given.measure:
        plan = Plan(given.backend, given.threads, tuple(given.batches), given.rounds, given.longest_ms)
        with progress(f"timing {len(chosen)} networks") as tell:
            measure_all(chosen, plan, given.times, minutes=given.minutes, progress=tell)
    if given.device:
        compare(Predictor.load(given.device), read(given.times), chosen, given)


def compare(
    predictor: Predictor, kept: Mapping[str, Any], chosen: Sequence[str], given: argparse.Namespace
) -> None:
    """Hold a predictor against measured times; write the result file."""
    for name in ("backend", "threads"):
        if kept[name] != getattr(predictor, name):
            raise SystemExit(
                f"{given.times} was measured with {name} {kept[name]}, the predictor has "
                f"{getattr(predictor, name)}: measure again with --{name}, and --times elsewhere"
            )
    names = [name for name in chosen if name in kept["networks"]]
    rows: list[dict[str, Any]] = []
    with progress(f"predicting {len(names)} networks") as tell:
        for done, name in enumerate(names):
            tell(done, len(names))
            rows += predicted(name, kept["networks"][name]["rows"], predictor)
        tell(len(names), len(names))
    place = Machine.from_dict(kept["machine"])
    left_out = [{"network": n, **one} for n in names for one in kept["networks"][n]["left_out"]]
    details = {
        "device": predictor.name,
        "fitted_at": predictor.fitted_at,
        "differs": list(differences(predictor, place)),
        "backend": f"{predictor.backend} {predictor.release}",
        "threads": predictor.threads,
        "level": predictor.networks.level,
        "calibrated_on": predictor.networks.counts,
        "published": PUBLISHED,
        "stretch": STRETCH,
        "by_network": by_network(rows),
        "left_out": left_out,
        "not_measured": [name for name in chosen if name not in names],
        "networks": rows,
    }
    quick = given.quick or len(names) < len(NAMES)
    write("predict_networks", __doc__, list(judge(rows)), details, quick=quick, packages=("pytorchcv",))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options(__doc__)
    parser.add_argument("--measure", action="store_true", help="time what is not kept yet")
    parser.add_argument("--device", help="a predictor's file, or the name of one that ships")
    parser.add_argument("--times", type=Path, default=None, help=f"where times are kept ({KEPT.name})")
    parser.add_argument("--minutes", type=float, default=20.0, help="after which no network is begun (20)")
    parser.add_argument("--backend", default="onnxruntime", help="that networks are timed on")
    parser.add_argument("--threads", type=int, default=1, help="cores that a call may use (1)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="networks")
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES), help="inputs a call")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each ({ROUNDS})")
    parser.add_argument("--longest-ms", type=float, default=LONGEST_MS, help=f"of a call ({LONGEST_MS:g})")
    given = parser.parse_args()
    if not (given.measure or given.device):
        parser.error("give --measure, --device, or both")
    if given.quick:
        given.rounds, given.batches, given.longest_ms = 2, [1, 2], min(given.longest_ms, 100.0)
    given.times = given.times or (QUICK if given.quick else KEPT)
    return given


def predicted(name: str, timed: Sequence[Mapping[str, Any]], predictor: Predictor) -> list[dict[str, Any]]:
    """Predict a network at the batches that were timed; return a row each."""
    graph = graph_of(name)
    return [row(predictor.predict(graph, batch=one["batch"], name=name), one) for one in timed]


def row(found: Prediction, timed: Mapping[str, Any]) -> dict[str, Any]:
    """Return one network at one batch as plain values."""
    measured_ms = float(timed["measured_ms"])
    return {
        "network": found.network,
        "batch": found.batch,
        "measured_ms": measured_ms,
        "spread": timed["spread"],
        "rounds": timed["rounds"],
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
