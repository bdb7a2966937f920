"""Time networks on backends, all of them in one race."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from juggler.cost.clock import Progress, Samples, race, ratio
from juggler.errors import ConfigError
from juggler.nouns import Machine, Noun, Timing
from juggler.runtime.machine import machine
from juggler.runtime.open import source_for
from juggler.runtime.peak import peak_rss_mib
from juggler.runtime.session import BACKENDS, Array, Model, Session, Source


@dataclass(frozen=True)
class Skipped(Noun):
    """A backend that was asked for and could not work: what is missing, and what mends it."""

    backend: str
    missing: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.backend} was not run: {self.missing}; {self.remedy}"


@dataclass(frozen=True)
class Speedup(Noun):
    """How many times faster a network is than the first one, on one backend at one batch.

    Attributes:
        subject: the network.
        baseline: the first network of the measurement.
        backend: what ran both.
        batch: inputs a call.
        median: median over the paired rounds of `baseline` time over `subject` time.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    subject: str
    baseline: str
    backend: str
    batch: int
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured(Noun):
    """What was measured, what was not, and where.

    Attributes:
        timings: one a network, backend and batch.
        speedups: every network against the first, one a backend and batch.
        skipped: backends that cannot work here.
        machine: where it was measured.
        threads: cores that one call may use; None is each backend's own choice.
        rounds: turns of each contender.
        interruptions: times that the process was taken off a core, all turns together.
    """

    timings: tuple[Timing, ...]
    speedups: tuple[Speedup, ...]
    skipped: tuple[Skipped, ...]
    machine: Machine
    threads: int | None
    rounds: int
    interruptions: int


class _Entry(NamedTuple):
    subject: str
    backend: str
    batch: int


def measure(
    models: Mapping[str, Model],
    backends: Sequence[str] | None = None,
    *,
    shape: Sequence[int],
    batches: Sequence[int] = (1,),
    threads: int | None = None,
    rounds: int = 20,
    min_block_ms: float = 5.0,
    warmup_s: float = 1.0,
    seed: int = 0,
    memory: bool = False,
    progress: Progress | None = None,
) -> Measured:
    """Time every network on every backend at every batch, in interleaved rounds; inputs are random normal.

    Args:
        models: ONNX paths or bytes, or modules in evaluation mode, by name; the first is the baseline.
        backends: names; None takes all there are. Those that cannot work here are skipped and reported.
        shape: the input's shape without the batch.
        batches: inputs a call.
        threads: cores that one call may use; None is each backend's own choice.
        rounds: turns of each contender.
        min_block_ms: shortest turn, in milliseconds.
        warmup_s: longest warm-up of each contender, in seconds.
        seed: draws inputs, orders and resamples.
        memory: measure the peak memory of each network on each backend too, in processes of their own.
        progress: called with turns done and turns in all.

    Raises:
        ConfigError: nothing to measure, or an option out of range.
        ArtefactError: a model that a backend cannot open.
    """
    _check(models, shape, batches, threads)
    names = list(dict.fromkeys(BACKENDS.names() if backends is None else backends))
    skipped = tuple(_skipped(names))
    usable = [name for name in names if name not in {skip.backend for skip in skipped}]
    entries = list(map(_Entry._make, product(models, usable, batches)))
    with ExitStack() as stack:
        sessions = _open(stack, models, usable, shape, threads)
        drawn = {batch: _normal((batch, *shape), seed) for batch in batches}
        contenders = {e: _call(sessions[e.subject, e.backend], drawn[e.batch]) for e in entries}
        named = {str(index): contenders[entry] for index, entry in enumerate(entries)}
        options = {"min_block_ms": min_block_ms, "warmup_s": warmup_s, "seed": seed, "progress": progress}
        raced = race(named, rounds=rounds, **options) if named else {}  # type: ignore[arg-type]
    samples = {entry: raced[str(index)] for index, entry in enumerate(entries)}
    peaks = _peaks(models, usable, shape, max(batches), threads) if memory else {}
    return Measured(
        timings=tuple(_timing(e, s, peaks.get((e.subject, e.backend))) for e, s in samples.items()),
        speedups=tuple(_speedups(next(iter(models)), samples, seed)),
        skipped=skipped,
        machine=machine(),
        threads=threads,
        rounds=rounds,
        interruptions=sum(sum(s.interruptions) for s in samples.values()),
    )


def _check(
    models: Mapping[str, Model], shape: Sequence[int], batches: Sequence[int], threads: int | None
) -> None:
    wrong = {
        "no models": not models,
        "no batches": not batches,
        f"batches {list(batches)}": any(batch < 1 for batch in batches) or len({*batches}) != len(batches),
        f"shape {list(shape)}": any(size < 1 for size in shape),
        f"threads {threads}": threads is not None and threads < 1,
    }
    found = [text for text, is_wrong in wrong.items() if is_wrong]
    if found:
        raise ConfigError("measure", ", ".join(found), "Give models, and sizes from 1 up, each once")


def _skipped(names: Sequence[str]) -> Iterator[Skipped]:
    for name in names:
        status = BACKENDS.get(name).status()
        if not status.available:
            yield Skipped(name, status.missing or "", status.remedy or "")


def _open(
    stack: ExitStack,
    models: Mapping[str, Model],
    backends: Sequence[str],
    shape: Sequence[int],
    threads: int | None,
) -> dict[tuple[str, str], Session]:
    """Open a session a network and backend; a network is converted once a form, not once a backend."""
    sources: dict[tuple[str, str], Source] = {}
    sessions = {}
    for (subject, model), name in product(models.items(), backends):
        backend = BACKENDS.get(name)
        form = (subject, backend.takes)
        if form not in sources:
            sources[form] = source_for(backend.takes, model, _normal((2, *shape), seed=0))
        sessions[subject, name] = stack.enter_context(backend.open(sources[form], threads=threads))
    return sessions


def _normal(shape: tuple[int, ...], seed: int) -> Array:
    # Never zeros, which some kernels skip, nor denormals, which all of them crawl over.
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


class _call:  # noqa: N801  # a function with its arguments; a lambda in a loop would take the last ones
    __slots__ = ("array", "session")

    def __init__(self, session: Session, array: Array) -> None:
        self.session, self.array = session, array

    def __call__(self) -> object:
        return self.session.run(self.array)


def _timing(entry: _Entry, samples: Samples, peak: float | None) -> Timing:
    return Timing(
        subject=entry.subject,
        backend=entry.backend,
        batch=entry.batch,
        calls=samples.values.size,
        min_ms=samples.min_ms,
        median_ms=samples.median_ms,
        p95_ms=samples.p95_ms,
        p99_ms=samples.p99_ms,
        peak_rss_mib=peak,
    )


def _speedups(baseline: str, samples: Mapping[_Entry, Samples], seed: int) -> Iterator[Speedup]:
    for entry, own in samples.items():
        if entry.subject != baseline:
            found = ratio(samples[entry._replace(subject=baseline)], own, seed=seed)
            yield Speedup(
                entry.subject, baseline, entry.backend, entry.batch, found.median, found.low, found.high
            )


def _peaks(
    models: Mapping[str, Model],
    backends: Sequence[str],
    shape: Sequence[int],
    batch: int,
    threads: int | None,
) -> dict[tuple[str, str], float]:
    """Measure the peak memory of each network on each backend at one batch, the largest asked for."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for index, (subject, model) in enumerate(models.items()):
            graph = source_for("onnx", model, _normal((2, *shape), seed=0)).graph
            path = graph if isinstance(graph, Path) else Path(folder) / f"{index}.onnx"
            if isinstance(graph, bytes):
                path.write_bytes(graph)
            for backend in backends:
                peaks[subject, backend] = peak_rss_mib(path, backend, (batch, *shape), threads=threads)
    return peaks
