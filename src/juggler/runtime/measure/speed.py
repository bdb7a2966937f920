"""Time networks on backends, all of them in one race."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from juggler.clock.race import Samples, race, ratio
from juggler.errors import JugglerError
from juggler.nouns import Machine, Noun, ReportProgress, Skipped, Timing
from juggler.runtime.machine import machine
from juggler.runtime.measure.contenders import Contenders, Entry, Shapes, open_contenders, shapes_of
from juggler.runtime.measure.peak import Peak, measure_peak
from juggler.runtime.precision import FLOAT32
from juggler.runtime.session import Model


@dataclass(frozen=True)
class Speedup(Noun):
    """How many times faster a network is than the first one, on one backend in one precision at one batch.

    Attributes:
        subject: the network.
        baseline: the first network of the measurement.
        backend: what ran both.
        batch: inputs a call.
        median: median over the paired rounds of `baseline` time over `subject` time.
        low: lower end of its 95 % interval.
        high: upper end.
        precision: what both were run in.
    """

    subject: str
    baseline: str
    backend: str
    batch: int
    median: float
    low: float
    high: float
    precision: str = FLOAT32


@dataclass(frozen=True)
class Measured(Noun):
    """What was measured, what was not, and where.

    Attributes:
        timings: one a network, backend, precision and batch.
        speedups: every network against the first, one a backend, precision and batch.
        skipped: backends, and precisions of backends, that cannot work here.
        machine: where it was measured.
        threads: cores that one call may use; None is each backend's own choice.
        rounds: turns of each contender.
        interruptions: times that the process was taken off a core, all turns together.
        peaks: memory at the largest batch, one a network, backend and precision, where it was asked for.
    """

    timings: tuple[Timing, ...]
    speedups: tuple[Speedup, ...]
    skipped: tuple[Skipped, ...]
    machine: Machine
    threads: int | None
    rounds: int
    interruptions: int
    peaks: tuple[Peak, ...] = ()


def measure(
    models: Mapping[str, Model],
    backends: Sequence[str] | None = None,
    *,
    shape: Shapes,
    batches: Sequence[int] = (1,),
    precisions: Sequence[str] = (FLOAT32,),
    threads: int | None = None,
    rounds: int = 20,
    min_block_ms: float = 5.0,
    warmup_s: float = 1.0,
    seed: int = 0,
    memory: bool = False,
    dtypes: Sequence[str] = (),
    progress: ReportProgress | None = None,
) -> Measured:
    """Time every network on every backend in every precision at every batch, in interleaved rounds.

    Inputs are random normal, and so are those that int8 is calibrated on: see `open_contenders`, which opens
    what is timed here. Speed-ups compare networks within one backend, precision and batch.

    Args:
        models: ONNX paths or bytes, or modules in evaluation mode, by name; the first is the baseline.
        backends: names; None takes all there are. Those that cannot work here are skipped and reported.
        shape: the input's shape without the batch, or one shape an input.
        batches: inputs a call.
        precisions: names; those that a backend lacks are skipped and reported.
        threads: cores that one call may use; None is each backend's own choice.
        rounds: turns of each contender.
        min_block_ms: shortest turn, in milliseconds.
        warmup_s: longest warm-up of each contender, in seconds.
        seed: draws inputs, orders and resamples.
        memory: measure the peak memory of each network on each backend too, in processes of their own.
        dtypes: element types of the inputs of modules; ONNX models carry theirs. None is float32 for all.
        progress: called with turns done and turns in all.

    Raises:
        ConfigError: nothing to measure, or an option out of range.
        JugglerError: no network runs on any backend. What fails on one is in `skipped`, with the reason.
    """
    with open_contenders(
        models,
        backends,
        shape=shape,
        batches=batches,
        precisions=precisions,
        threads=threads,
        seed=seed,
        dtypes=dtypes,
    ) as contenders:
        named = {str(index): call for index, call in enumerate(contenders.calls.values())}
        options = {"min_block_ms": min_block_ms, "warmup_s": warmup_s, "seed": seed, "progress": progress}
        raced = race(named, rounds=rounds, **options) if named else {}  # type: ignore[arg-type]
    samples = dict(zip(contenders.calls, raced.values(), strict=True))
    unmeasured: list[Skipped] = []
    peaks = _peaks(contenders, shape, max(batches), threads, unmeasured) if memory else {}
    return Measured(
        timings=tuple(
            _timing(e, s, peaks.get((e.subject, e.backend, e.precision))) for e, s in samples.items()
        ),
        speedups=tuple(_speedups(next(iter(models)), samples, seed)),
        skipped=(*contenders.skipped, *unmeasured),
        machine=machine(),
        threads=threads,
        rounds=rounds,
        interruptions=sum(sum(s.interruptions) for s in samples.values()),
        peaks=tuple(peaks.values()),
    )


def _timing(entry: Entry, samples: Samples, peak: Peak | None) -> Timing:
    return Timing(
        subject=entry.subject,
        backend=entry.backend,
        batch=entry.batch,
        calls=samples.values.size,
        min_ms=samples.min_ms,
        median_ms=samples.median_ms,
        p95_ms=samples.p95_ms,
        p99_ms=samples.p99_ms,
        peak_rss_mib=peak.process_mib if peak else None,
        precision=entry.precision,
    )


def _speedups(baseline: str, samples: Mapping[Entry, Samples], seed: int) -> Iterator[Speedup]:
    for entry, entry_samples in samples.items():
        rival = entry._replace(subject=baseline)
        if entry.subject != baseline and rival in samples:
            speedup = ratio(samples[rival], entry_samples, seed=seed)
            yield Speedup(
                subject=entry.subject,
                baseline=baseline,
                backend=entry.backend,
                batch=entry.batch,
                median=speedup.median,
                low=speedup.low,
                high=speedup.high,
                precision=entry.precision,
            )


def _peaks(
    contenders: Contenders, shape: Shapes, batch: int, threads: int | None, unmeasured: list[Skipped]
) -> dict[tuple[str, str, str], Peak]:
    """Measure the peak memory of each network, backend and precision at one batch, the largest asked for.

    What cannot be measured is added to `unmeasured`.
    """
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for index, (subject, backend, precision, size) in enumerate(contenders.calls):
            if size != batch:
                continue
            shapes = [(batch, *sizes) for sizes in shapes_of(shape)]
            try:
                graph = contenders.forms.source(subject, "onnx", precision).graph
                path = graph if isinstance(graph, Path) else Path(folder) / f"{index}.onnx"
                if isinstance(graph, bytes):
                    path.write_bytes(graph)
                peaks[subject, backend, precision] = measure_peak(
                    path, backend, shapes, threads=threads, precision=precision, subject=subject
                )
            except JugglerError as error:
                unmeasured.append(Skipped(f"memory of {subject} on {backend}", error.found, error.remedy))
    return peaks
