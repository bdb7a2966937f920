"""Flat Juggler-ResNet-152 in int8 is 12x as fast as eager ResNet-152, and 1.9x as ResNet-152 in int8.

At 224 px, batch 1. The eager one is ResNet-152 in float32 as PyTorch runs it; the other comparison is on one
runtime, of the fastest int8 graph of either network, whichever tool wrote it. All are turns of one race.

- Both networks have weights drawn at random: that says what int8 costs in time and, in dB, in arithmetic. On
  classes it says little, for such a network gives nearly all images one class. So a trained one is there too:
  the shipped detector, calibrated on training records and checked on KDDTest+.
- Calibration is on CIFAR-10 images, enlarged, where JUGGLER_DATA holds them, on random ones elsewhere; every
  fourth is held out to check on.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from benchmarks.common import Finding, options, progress, reporting, write
from juggler.clock.race import Ratio, Samples, race, ratio
from juggler.data import Source, load_record_set
from juggler.errors import DataError, Refused
from juggler.models import create
from juggler.nouns import Quantization
from juggler.reproduce.networks import CLASSES, depth_networks, randomised
from juggler.runtime.artefact import Artefact, shipped
from juggler.runtime.export import export
from juggler.runtime.int8.certified import Budget, quantize_certified, read_record
from juggler.runtime.int8.quantization import QUANTIZERS
from juggler.runtime.open import open_session
from juggler.runtime.session import Array

DEPTH, SIDE_PX, IMAGES = 152, 224, 32
OVER_EAGER, OVER_PLAIN = 12.0, 1.9
RUNTIMES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}
NETWORKS = {"plain": "ResNet", "flat": "flat Juggler-ResNet"}
MADE, FOLDED = "made.json", "plain.onnx"
EAGER, EAGER_FOLDED = "eager", "eager, batch norms folded"
CIFAR = "cifar10/test-00000-of-00001.parquet"
# Of networks that answer at random, classes prove nothing: the noise alone is held to a budget.
RANDOM_BUDGET = Budget(least_db=20.0, least_agreement=0.0)
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
SCALE = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def main() -> None:
    """Quantise, race, judge, write the result file."""
    parser = options(__doc__)
    parser.add_argument("--depth", type=int, default=DEPTH, help="of both networks, for a --quick trial")
    parser.add_argument(
        "--graphs", type=Path, help="keep the graphs in this folder, and take them from there"
    )
    parser.add_argument("--prepare", action="store_true", help="make the graphs in that folder, and stop")
    given = parser.parse_args()
    if given.depth != DEPTH and not given.quick:
        parser.error("another depth is for --quick: the claim is about 152")
    if given.prepare and not given.graphs:
        parser.error("--prepare makes graphs for a folder: give --graphs")
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.graphs or Path(scratch)
        if not (folder / MADE).is_file():
            make(folder, given.depth, 16 if given.quick else IMAGES)
        if not given.prepare:
            run(folder, given.depth, quick=given.quick)


def run(folder: Path, depth: int, *, quick: bool) -> None:
    """Race what is in the folder, judge it, write the result file."""
    graphs = {path.stem: path.read_bytes() for path in sorted(folder.glob("*, *.onnx"))}
    records = {name: record for name, graph in graphs.items() if (record := read_record(graph))}
    plain = randomised(create(f"resnet{depth}", classes=CLASSES), seed=depth)  # as `depth_networks` makes it
    samples = raced(plain, folder / FOLDED, graphs, rounds=6 if quick else 30)
    found = {
        "depth": depth,
        "weights": "randomised at random",
        **json.loads((folder / MADE).read_text()),
        "int8": {name: record.to_dict() for name, record in records.items()},
        "median_ms": {name: one.median_ms for name, one in samples.items()},
        "trained": trained(),
    }
    findings = [*judged_speed(depth, samples), *judged_nearness(records, found["trained"])]
    write("int8", __doc__, findings, found, quick=quick, packages=("nncf",))


def images(count: int) -> tuple[Array, str]:
    """Return images, `[count, 3, 224, 224]`, and what they are."""
    path = Path(os.environ.get("JUGGLER_DATA", ".")) / CIFAR
    shape = (count, 3, SIDE_PX, SIDE_PX)
    if not path.is_file():
        return np.random.default_rng(0).standard_normal(shape, dtype=np.float32), "random normal images"
    stored = pq.read_table(path).slice(0, count).column(0).to_pylist()
    pixels = [np.asarray(Image.open(io.BytesIO(one["bytes"])).convert("RGB"), np.float32) for one in stored]
    small = torch.from_numpy((np.stack(pixels) / np.float32(255.0) - MEAN) / SCALE).permute(0, 3, 1, 2)
    large = F.interpolate(small, size=(SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)
    return large.contiguous().numpy(), f"{count} test images of CIFAR-10, enlarged to {SIDE_PX} px"


def make(folder: Path, depth: int, count: int) -> None:
    """Make both networks, and quantise each with each tool that works here."""
    folder.mkdir(parents=True, exist_ok=True)
    modules, exactness = depth_networks(depth)
    inputs, origin = images(count)
    for name in NETWORKS:
        graph = export(modules[name], torch.from_numpy(inputs[:1]))
        if name == "plain":
            (folder / FOLDED).write_bytes(graph)
        for tool in (name for name, tool in QUANTIZERS if tool.status().available):
            done = quantize_certified(graph, inputs, tool=tool, budget=RANDOM_BUDGET)
            (folder / f"{name}, {tool}.onnx").write_bytes(done.graph)
    (folder / MADE).write_text(json.dumps({"exactness": exactness, "calibration": origin}))


def raced(plain: nn.Module, folded: Path, graphs: Mapping[str, bytes], *, rounds: int) -> dict[str, Samples]:
    """Race eager ResNet, as it is and from a graph without batch norms, and int8 graphs on every runtime."""
    image = np.random.default_rng(1).standard_normal((1, 3, SIDE_PX, SIDE_PX), dtype=np.float32)
    with ExitStack() as stack:
        calls: dict[str, Callable[[], object]] = {}

        def enter(name: str, model: Path | bytes | nn.Module, backend: str, precision: str) -> None:
            session = open_session(model, backend, example=torch.from_numpy(image), precision=precision)
            calls[name] = lambda: session.run(image)
            stack.callback(session.close)

        enter(EAGER, plain, "torch_eager", "float32")
        enter(EAGER_FOLDED, folded, "torch_eager", "float32")
        for runtime in RUNTIMES:
            for name, graph in graphs.items():
                enter(f"{name}, {runtime}", graph, runtime, "int8")
        with progress("race") as tell:
            return race(calls, rounds=rounds, min_block_ms=20.0, warmup_s=2.0, progress=reporting(tell))


def fastest(samples: Mapping[str, Samples], network: str, runtime: str) -> str:
    """Return the fastest contender of a network on a runtime, whichever tool wrote it."""
    own = [name for name in samples if name.startswith(f"{network}, ") and name.endswith(f", {runtime}")]
    return min(own, key=lambda name: samples[name].median_ms)


def judged_speed(depth: int, samples: Mapping[str, Samples]) -> Iterator[Finding]:
    """Hold the race against the claims."""
    best = {runtime: fastest(samples, "flat", runtime) for runtime in RUNTIMES}
    flat = min(best.values(), key=lambda name: samples[name].median_ms)
    over, folded = ratio(samples[EAGER], samples[flat]), ratio(samples[EAGER_FOLDED], samples[flat])
    rounds = len(samples[flat].rounds_ms)
    yield Finding(
        claim=f"Flat Juggler-ResNet-{depth} in int8 against ResNet-{depth} in eager float32, 224 px, "
        f"batch 1: at least {OVER_EAGER:g}x",
        measured=f"{over.median:.1f}x ({samples[EAGER].median_ms:.0f} ms to "
        f"{samples[flat].median_ms:.1f} ms: {flat}; {folded.median:.1f}x with batch norms folded there too)",
        n=f"{rounds} rounds; {over.low:.1f} to {over.high:.1f}",
        reached=over.median >= OVER_EAGER,
    )
    for runtime, text in RUNTIMES.items():
        plain = fastest(samples, "plain", runtime)
        gain: Ratio = ratio(samples[plain], samples[best[runtime]])
        yield Finding(
            claim=f"Flat Juggler-ResNet-{depth} against ResNet-{depth}, both in int8, {text}, "
            f"224 px, batch 1: at least {OVER_PLAIN:g}x",
            measured=f"{gain.median:.2f}x ({samples[plain].median_ms:.1f} ms to "
            f"{samples[best[runtime]].median_ms:.1f} ms)",
            n=f"{rounds} rounds; {gain.low:.2f} to {gain.high:.2f}",
            reached=gain.median >= OVER_PLAIN,
        )


def trained() -> dict[str, Any]:
    """Quantise the shipped detector with each tool on training records; check it on KDDTest+."""
    artefact = Artefact.load(shipped("nsl_kdd.onnx"))
    try:
        records = load_record_set("nsl-kdd", Source())
        learned, held = records.load("train"), records.load("test")
    except DataError as error:
        return {"skipped": str(error)}
    rows = np.random.default_rng(0).permutation(len(learned))[:512]
    inputs, check = artefact.encoder.encode(learned)[rows], artefact.encoder.encode(held)
    found: dict[str, Any] = {}
    for name, tool in QUANTIZERS:
        if not tool.status().available:
            continue
        try:
            found[name] = quantize_certified(artefact, inputs, check, tool=name).record.to_dict()
        except Refused as error:
            found[name] = {"refused": error.found}
    return found


def judged_nearness(records: Mapping[str, Quantization], detector: Mapping[str, Any]) -> Iterator[Finding]:
    """Hold the noise against the budget."""
    least = RANDOM_BUDGET.least_db
    noises = {name: record.signal_to_noise_db for name, record in records.items()}
    yield Finding(
        claim=f"Int8 is within {least:g} dB of float32 on images held out, with random weights",
        measured=", ".join(f"{name}: {db:.1f} dB" for name, db in noises.items() if db is not None),
        n=f"{next(iter(records.values())).checked} images",
        reached=all(db is None or db >= least for db in noises.values()),
    )
    kept = {name: one for name, one in detector.items() if "checked" in one}
    if "skipped" not in detector:
        yield Finding(
            claim="The shipped detector in int8 keeps 99 % of its classes on KDDTest+ and has 20 dB or more",
            measured=", ".join(
                f"{name}: {one['signal_to_noise_db']:.1f} dB, "
                f"{one['classes_agreed'] / one['classes_compared']:.2%} of classes"
                for name, one in kept.items()
            )
            or "refused",
            n=f"{next(iter(kept.values()))['checked'] if kept else 0} records",
            reached=len(kept) == len(detector) and bool(kept),
        )


if __name__ == "__main__":
    main()
