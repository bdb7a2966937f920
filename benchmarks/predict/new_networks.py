"""After 25 minutes of campaign, new networks are predicted within 5 %, 85 % within 10 %, 90 % covered.

On this machine, from nothing: `juggler campaign` for 25 minutes, `fit`, then networks of pytorchcv whose
shapes no campaign draws, at batch 1 and 8. They are exported by torch and timed on ONNX Runtime by the code
below, which shares nothing with the clock of the campaign: batches in turns, the least over rounds of a
round's median.

Everything is kept as it comes in `--folder`; the same line goes on where it stopped. Needs a quiet machine
for about 50 minutes, and pytorchcv.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.common import ROOT, Finding, options, progress, reporting, write
from juggler.files import write_atomically
from juggler.predict.campaign.active import committee
from juggler.predict.campaign.networks import networks_for
from juggler.predict.campaign.options import CampaignOptions
from juggler.predict.campaign.run import run_campaign
from juggler.predict.campaign.store.samples import Store
from juggler.predict.fit.predictor import fit_predictor
from juggler.predict.learning.scores import score
from juggler.predict.predictor.intervals import binomial_interval
from juggler.predict.predictor.predictor import Predictor

FOLDER = ROOT / "runs" / "predict" / "new"
LIMITS = {"mape": 5.0, "within_10": 85.0, "level": 0.9}
BATCHES, IMAGE = (1, 8), (3, 224, 224)
ROUNDS, ROUND_S, FEWEST_CALLS, OPSET = 5, 0.4, 3, 17
# Of pytorchcv, by the module that they are in; none is among those that campaigns draw shapes of.
NETWORKS = {
    **{"bninception": "bninception", "peleenet": "peleenet", "mixnet_m": "mixnet", "xception": "xception"},
    **{"densenet121": "densenet", "hardnet39ds": "hardnet", "vovnet27s": "vovnet", "dla34": "dla"},
    **{"efficientnet_b0": "efficientnet", "mobilenetv3_large_w1": "mobilenetv3", "regnetx002": "regnet"},
    **{"shufflenetv2_w1": "shufflenetv2", "sqnxt23_w1": "squeezenext", "skresnet18": "sknet"},
    **{"preresnet18": "preresnet", "seresnet18": "seresnet", "darknet53": "darknet53"},
    **{"inceptionv4": "inceptionv4", "mobilenetv2_w1": "mobilenetv2", "resnext26_32x4d": "resnext"},
}


def main() -> None:
    """Measure what is not kept yet, fit, compare, and write the result file."""
    given = arguments()
    given.folder.mkdir(parents=True, exist_ok=True)
    predictor = fitted(given)
    names = list(NETWORKS)[: given.networks]
    times = timed(names, given.folder, given.rounds)
    rows = [row for name in names for row in compared(name, times[name], predictor, given.folder)]
    not_exported = {name: times[name]["fault"] for name in names if "fault" in times[name]}
    by_network = {
        name: score(
            *zip(*((r["measured_ms"], r["predicted_ms"]) for r in rows if r["network"] == name), strict=True)
        )
        for name in dict.fromkeys(row["network"] for row in rows)
    }
    details = {
        "minutes": given.minutes,
        "level": predictor.networks.level,
        "not_exported": not_exported,
        "by_network": {name: scores.to_dict() for name, scores in by_network.items()},
        "report": dict(predictor.report),
        "networks": rows,
    }
    write(
        "predict_new_networks",
        __doc__,
        list(judged(rows)),
        details,
        quick=given.quick,
        packages=("pytorchcv",),
    )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=25.0, help="of the campaign (25)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where all is kept")
    parser.add_argument("--networks", type=int, default=len(NETWORKS), help="how many to predict (all)")
    parser.add_argument("--drawn", type=int, default=120, help="random networks to compose by (120)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each network ({ROUNDS})")
    given = parser.parse_args()
    if given.quick:
        given.folder, given.minutes, given.drawn = given.folder / "quick", min(given.minutes, 1.0), 6
        given.networks, given.rounds = min(given.networks, 2), 1
    return given


def fitted(given: argparse.Namespace) -> Predictor:
    """Run the campaign, time networks that are drawn, and fit; what is kept is not done again."""
    path = given.folder / "new.predictor"
    if path.is_file():
        return Predictor.load(path)
    settings = CampaignOptions(minutes=given.minutes, retest=0)
    with Store.open(given.folder / "lab.db", create=True) as store:
        with progress(f"measuring kernels for {given.minutes:g} minutes") as tell:
            run_campaign(store, settings, chooser=committee, progress=reporting(tell))
        with progress(f"timing {given.drawn} random networks") as tell:
            networks = networks_for(store, count=given.drawn, progress=reporting(tell))
        with progress("fitting the predictor") as tell:
            predictor, _ = fit_predictor(
                store, networks=networks, device="this machine", progress=reporting(tell)
            )
    return Predictor.load(predictor.save(path))


def timed(names: Sequence[str], folder: Path, rounds: int) -> dict[str, Any]:
    """Return what each network takes, by batch; networks that are kept are not timed again."""
    path = folder / "times.json"
    times: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    with progress(f"timing {len(names)} new networks") as tell:
        for done, name in enumerate(names):
            tell(done, len(names))
            if name in times:
                continue
            try:
                times[name] = {
                    str(batch): ms for batch, ms in measured(exported(name, folder), rounds).items()
                }
            except (RuntimeError, ValueError, TypeError, ImportError, AttributeError) as error:
                times[name] = {"fault": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
            write_atomically(path, f"{json.dumps(times, indent=1)}\n".encode())
        tell(len(names), len(names))
    return times


def exported(name: str, folder: Path) -> Path:
    """Return a network with random weights as an ONNX file of torch's own exporter, its batch free."""
    path = folder / f"{name}.onnx"
    if not path.is_file():
        torch.manual_seed(0)
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        module = getattr(importlib.import_module(f"pytorchcv.models.{NETWORKS[name]}"), name)().eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, (torch.randn(1, *IMAGE),), path, dynamo=False, opset_version=OPSET, input_names=["x"],
                output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
            )  # fmt: skip
    return path


def measured(path: Path, rounds: int) -> dict[int, float]:
    """Return milliseconds of a call by batch, on one thread."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 4
    session: Any = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    draw = np.random.default_rng(0)
    feeds = {batch: {"x": draw.standard_normal((batch, *IMAGE), np.float32)} for batch in BATCHES}
    least_ms = dict.fromkeys(BATCHES, float("inf"))
    for batch in BATCHES:  # the first calls lay the memory out
        for _ in range(FEWEST_CALLS):
            session.run(None, feeds[batch])
    for number in range(rounds):
        for batch in BATCHES if number % 2 == 0 else BATCHES[::-1]:
            least_ms[batch] = min(least_ms[batch], median_ms(partial(session.run, None, feeds[batch])))
    return least_ms


def median_ms(call: Callable[[], object]) -> float:
    """Return the median of calls for a while, in milliseconds."""
    call()
    took_s: list[float] = []
    end_s = time.perf_counter() + ROUND_S
    while len(took_s) < FEWEST_CALLS or time.perf_counter() < end_s:
        start_s = time.perf_counter()
        call()
        took_s.append(time.perf_counter() - start_s)
    return 1e3 * float(np.median(took_s))


def compared(
    name: str, times: dict[str, Any], predictor: Predictor, folder: Path
) -> Iterator[dict[str, Any]]:
    """Yield a row a batch: what was predicted of the file beside what it took."""
    for batch, measured_ms in times.items():
        if batch == "fault":
            return
        found = predictor.predict(folder / f"{name}.onnx", shape=IMAGE, batch=int(batch), name=name)
        yield {
            "network": name,
            "batch": int(batch),
            "measured_ms": measured_ms,
            "predicted_ms": found.latency_ms,
            "low_ms": found.low_ms,
            "high_ms": found.high_ms,
            "covered": found.low_ms <= measured_ms <= found.high_ms,
            "ungrounded_share": found.ungrounded_share,
            "uncovered": [missed.to_dict() for missed in found.uncovered],
        }


def judged(rows: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Hold what came out against the claims."""
    if not rows:
        return
    scores = score([row["measured_ms"] for row in rows], [row["predicted_ms"] for row in rows])
    names = len({row["network"] for row in rows})
    number = f"{names} networks at batch 1 and 8"
    yield Finding(
        claim=f"New networks after a campaign of 25 minutes: at most {LIMITS['mape']:g} % MAPE",
        measured=f"{scores.mape:.1f} %",
        n=number,
        reached=scores.mape <= LIMITS["mape"],
    )
    yield Finding(
        claim=f"New networks after a campaign of 25 minutes: at least {LIMITS['within_10']:g} % within 10 %",
        measured=f"{scores.within_10:.0f} % within 10 %, {scores.within_5:.0f} % within 5 %",
        n=number,
        reached=scores.within_10 >= LIMITS["within_10"],
    )
    hits = sum(bool(row["covered"]) for row in rows)
    low, high = binomial_interval(hits, len(rows))
    yield Finding(
        claim="90 % intervals of new networks cover 90 % of them",
        measured=f"{hits} of {len(rows)} (95 % interval {100 * low:.0f} to {100 * high:.0f} %)",
        n=number,
        reached=hits >= LIMITS["level"] * len(rows),
    )


if __name__ == "__main__":
    main()
