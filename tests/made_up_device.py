"""Samples and timed networks of a device that does not exist, from a formula: no clock, known truth."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from juggler.nouns import Machine
from juggler.packages import release_of
from juggler.predict.campaign.networks import TimedNetwork
from juggler.predict.campaign.sampling import Space
from juggler.predict.campaign.store.samples import Store, machine_digest
from juggler.predict.extract.kernels import ExtractedKernels, extract_kernels
from juggler.predict.fit.predictor import compose_predictor, fit_predictor
from juggler.predict.fit.report import FitReport, NetworkReport
from juggler.predict.graphs.random_networks import random_network
from juggler.predict.kernels.sample import Sample
from juggler.predict.kernels.spec import KernelSpec
from juggler.predict.predictor.composition import Composition, Parts
from juggler.predict.predictor.intervals import LEVEL
from juggler.predict.predictor.predictor import Predictor

MACHINE = Machine(
    "A made-up CPU", 4, 16.0, "Linux 6", "3.11", {"onnxruntime": str(release_of("onnxruntime"))}
)
SHARES = {
    **{"conv": 40.0, "depthwise": 10.0, "pool": 10.0, "dense": 15.0, "global_pool": 5.0, "add": 8.0},
    **{"elementwise": 8.0, "concat": 6.0, "reorder": 8.0},
}
COMPOSITION = Composition(0.02, 0.002, 1.08, 1.15, 1.0, 0.0, 0.1)
CACHE_BYTES = 2 << 20
NOISE = 0.02


def truth_ms(spec: KernelSpec) -> float:
    """Return what the device takes for a kernel: a roofline with three habits of its own."""
    rate = 4e7 if spec.family == "conv" else 1e7  # operations a millisecond
    rate *= 1.0 if spec.out_channels % 16 == 0 else 0.7
    rate *= 0.6 if spec.kernel == (1, 1) else 1.0
    bytes_a_ms = 1e7 if spec.bytes < CACHE_BYTES else 5e6
    moved = (spec.input_bytes + spec.output_bytes + (4 if spec.cold else 1) * spec.weight_bytes) / bytes_a_ms
    return 0.002 + max(spec.operations / rate, moved)


def sample_of(spec: KernelSpec, generator: np.random.Generator, drawn: str = "random") -> Sample:
    """Return a noisy sample of a kernel."""
    if generator.random() < 0.7:  # a runtime says itself how it ran a kernel; spaces do not draw it
        spec = replace(spec, layout="blocked")
    noise = math.exp(NOISE * generator.standard_normal())
    pre_ms, post_ms = (0.001 + size / 8e6 for size in (spec.input_bytes, spec.output_bytes))
    timed = (pre_ms * noise, truth_ms(spec) * noise, post_ms * noise)
    place = ("onnxruntime", "float32", 1)
    digest, at = machine_digest(MACHINE), "2026-01-01T00:00:00+00:00"
    return Sample(spec, *place, *timed, 0.01, 3, 0, drawn, digest, at)


def fill(path: Path, count: int = 700, seed: int = 0) -> Store:
    """Return a database of made-up samples."""
    generator = np.random.default_rng(seed)
    store = Store.open(path, create=True)
    store.add_machine(MACHINE)
    space = Space(roof=lambda spec: 0.5 * truth_ms(spec), families=SHARES, cap_ms=50.0, long_share=0.0)
    for draw in islice(space.draw(seed), count):
        store.add(sample_of(draw.spec, generator, draw.sampled_by), "made up")
    return store


@cache
def reading(seed: int, batch: int) -> ExtractedKernels:
    """Return the kernels of a drawn network."""
    network = random_network(seed, batch * 4)  # small ones
    return extract_kernels(network.model, batch=batch, name=network.name)


@cache
def predictor() -> tuple[Predictor, FitReport, NetworkReport]:
    """Return a predictor of the device that does not exist, fitted once a process."""
    with tempfile.TemporaryDirectory() as folder, fill(Path(folder) / "made_up.sqlite", 440) as store:
        bare, report = fit_predictor(store, networks=[], learners=["roofline_trees"])
        bare = replace(bare, cache_bytes=CACHE_BYTES)
        generator = np.random.default_rng(1)
        readings = [reading(seed, 1 + 3 * (seed % 2)) for seed in range(20)]
        networks = [
            timed(extracted, network_ms(extracted, bare.as_run(extracted)), generator)
            for extracted in readings
        ]
        composed, network_report = compose_predictor(bare, networks, LEVEL)
        return replace(composed, name="made-up"), report, network_report


def network_ms(network: ExtractedKernels, cold: list[KernelSpec] | None = None) -> float:
    """Return what the device takes for a network, of the kernels as they run within it."""
    specs = cold if cold is not None else [kernel.spec for kernel in network.kernels]
    parts = Parts.of(network, [truth_ms(spec) for spec in specs], CACHE_BYTES)
    return COMPOSITION.compose(parts)


def timed(network: ExtractedKernels, latency_ms: float, generator: np.random.Generator) -> TimedNetwork:
    """Return a network as if it had been timed."""
    noise = math.exp(NOISE * generator.standard_normal())
    return TimedNetwork(network.network, network, latency_ms * noise, 0.01, 1, machine_digest(MACHINE))
