"""Run one race and make its cell: networks and the machine's ceiling, interleaved."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from juggler.clock.ceiling import Product
from juggler.clock.energy import Meter, energy_mj
from juggler.clock.race import Samples, race, ratio
from juggler.clock.turns import LONGEST_LED_IN_MS
from juggler.extras import portable
from juggler.nouns import ReportProgress, Skipped
from juggler.reproduce.counting import count
from juggler.reproduce.experiment import SLOW_TO_OPEN, Pair, Prepared, Race
from juggler.reproduce.results import Cell, Comparison, Row, Shape
from juggler.runtime.measure.contenders import Call, Contenders, Entry, open_contenders
from juggler.runtime.measure.peak import Peak, measure_peak

LEAST_ROUNDS = 6  # fewer give no 95 % interval of a median
LEAST_ALONE = 3  # where nothing is compared
LONG_ROUND_S, LONG_ROUNDS = 5.0, 15
LONG_CALL_S = 1.0  # above it the trial calls are warm-up enough
LEAST_BLOCK_S, CANARY_S = 0.005, 0.008


@dataclass(frozen=True)
class Conditions:
    """What holds for every race of a run.

    Attributes:
        backends: names of those that were asked for.
        products: the machine's ceiling, by precision.
        meter: where energy comes from.
        most_rounds: turns of each contender where time allows.
        threads: cores that one call may use; None is each backend's own choice.
        warmup_s: at the longest, of each contender; a trial round has warmed it already.
        seed: draws inputs, orders and resamples.
    """

    backends: tuple[str, ...]
    products: Mapping[str, Product]
    meter: Meter
    most_rounds: int
    threads: int | None = None
    warmup_s: float = 0.5
    seed: int = field(default=0)


def run_race(
    plan: Race, conditions: Conditions, *, limit_s: float | None, progress: ReportProgress | None = None
) -> Cell:
    """Make the networks of a race, run it, and return what came out.

    Args:
        plan: what to race.
        conditions: where and how.
        limit_s: what making and racing may take together; None gives every round. At least `LEAST_ROUNDS`
            are run in any case, or `LEAST_ALONE` where nothing is compared.
        progress: called with turns done and turns in all.

    Raises:
        ParityError: a network that was to be flat was not proved equal.
        ConfigError: a network that cannot be opened.
    """
    start = time.monotonic()
    prepared = plan.prepare()
    shapes = {name: count(subject.graph, subject.shape) for name, subject in prepared.subjects.items()}
    with ExitStack() as stack:
        groups = list(_open(stack, plan, prepared, conditions))
        calls = {entry: call for group in groups for entry, call in group.calls.items()}
        contenders: dict[str, Call] = {str(index): call for index, call in enumerate(calls.values())}
        ceilings = {p: conditions.products[p] for p in plan.precisions if p in conditions.products}
        contenders |= {f"ceiling {precision}": product.call for precision, product in ceilings.items()}
        left_s = None if limit_s is None else limit_s - (time.monotonic() - start)
        least = LEAST_ROUNDS if plan.pairs else LEAST_ALONE
        tried_s = [_tried_s(call) for call in contenders.values()]
        rounds = _rounds(sum(map(_turn_s, tried_s)), least, conditions.most_rounds, left_s)
        warmup_s = 0.0 if max(tried_s) > LONG_CALL_S else conditions.warmup_s
        raced = race(contenders, rounds=rounds, warmup_s=warmup_s, seed=conditions.seed, progress=progress)
        extras: dict[Entry, dict[str, Any]] = {}
        if plan.energy and conditions.meter.available:
            extras = _energies(calls, conditions.meter)
        for entry, peak in _peaks(plan, prepared, calls, conditions) if plan.memory else ():
            sizes: dict[str, Any] = {"process_mib": peak.process_mib, "network_mib": peak.network_mib}
            extras[entry] = extras.get(entry, {}) | sizes
    rates = {p: ceiling.gflop_per_s(raced[f"ceiling {p}"].median_ms) for p, ceiling in ceilings.items()}
    samples = {entry: raced[str(index)] for index, entry in enumerate(calls)}
    return Cell(
        name=plan.name,
        case=plan.case,
        shapes=shapes,
        rows=tuple(
            replace(_row(e, s, shapes[e.subject], rates.get(e.precision)), **extras.get(e, {}))
            for e, s in samples.items()
        ),
        comparisons=tuple(_comparisons(plan, samples, conditions.seed)),
        ceilings=rates,
        rounds=rounds,
        rejected=sum(sum(samples.rejected) for samples in raced.values()),
        not_run=tuple(_not_run(groups)),
        checks=prepared.checks,
    )


def _open(stack: ExitStack, plan: Race, prepared: Prepared, conditions: Conditions) -> Iterator[Contenders]:
    """Open the contenders; those whose inputs have one size together, for that is how they are opened."""
    shapes = dict.fromkeys(subject.shape for subject in prepared.subjects.values())
    for shape, (backends, precisions) in itertools.product(shapes, _lots(plan, conditions)):
        yield stack.enter_context(
            open_contenders(
                {
                    name: subject.graph
                    for name, subject in prepared.subjects.items()
                    if subject.shape == shape
                },
                backends,
                shape=shape,
                batches=plan.batches,
                precisions=precisions,
                threads=conditions.threads,
                seed=conditions.seed,
            )
        )


def _lots(plan: Race, conditions: Conditions) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield backends and the precisions to open them in: all alike, but for those that are slow to open."""
    names = conditions.backends if plan.backends is None else plan.backends
    slow = () if plan.slow_precisions is None else tuple(name for name in names if name in SLOW_TO_OPEN)
    if quick := tuple(name for name in names if name not in slow):
        yield quick, plan.precisions
    if slow:
        yield slow, plan.slow_precisions or plan.precisions


def _tried_s(call: Call) -> float:
    """Return how long a call takes once a first one has compiled and allocated."""
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _rounds(round_s: float, least: int, most: int, left_s: float | None) -> int:
    """Return how many rounds fit into the time that is left."""
    if left_s is None:
        return max(least, most)
    most = min(most, LONG_ROUNDS) if round_s > LONG_ROUND_S else most
    return max(least, min(most, int(left_s / round_s)))


def _turn_s(call_s: float) -> float:
    """Return about how long a turn takes: its lead-in, its block, its canary, and some of them twice."""
    block_s = max(call_s, LEAST_BLOCK_S)
    lead_in_s = block_s if call_s <= LONGEST_LED_IN_MS / 1e3 else 0.0
    return 1.2 * (lead_in_s + block_s + CANARY_S)


def _row(entry: Entry, samples: Samples, shape: Shape, ceiling: float | None) -> Row:
    gmac_per_s = shape.macs * entry.batch / samples.median_ms / 1e6
    return Row(
        **entry._asdict(),
        calls=samples.values.size,
        min_ms=samples.min_ms,
        median_ms=samples.median_ms,
        p95_ms=samples.p95_ms,
        p99_ms=samples.p99_ms,
        gmac_per_s=gmac_per_s,
        ceiling_share=None if ceiling is None else 2.0 * gmac_per_s / ceiling,
    )


def _comparisons(plan: Race, samples: Mapping[Entry, Samples], seed: int) -> Iterator[Comparison]:
    for pair in plan.pairs:
        for entry, entry_samples in samples.items():
            rival = _opposite(pair, entry)
            if rival is not None and rival in samples:
                gain, scale = ratio(samples[rival], entry_samples, seed=seed), entry.batch / rival.batch
                yield Comparison(
                    subject=entry.subject,
                    batch=entry.batch,
                    against=rival.subject,
                    against_batch=rival.batch,
                    backend=entry.backend,
                    precision=entry.precision,
                    times=gain.median * scale,
                    low=gain.low * scale,
                    high=gain.high * scale,
                )


def _opposite(pair: Pair, entry: Entry) -> Entry | None:
    """Return the contender that this one is to be compared with, if the pair is about this one."""
    if entry.subject != pair.subject or pair.batch not in (None, entry.batch):
        return None
    return entry._replace(subject=pair.against, batch=pair.against_batch or entry.batch)


def _energies(calls: Mapping[Entry, Call], meter: Meter) -> dict[Entry, dict[str, Any]]:
    return {entry: {"energy_mj": energy_mj(call, meter)} for entry, call in calls.items()}


def _peaks(
    plan: Race, prepared: Prepared, calls: Mapping[Entry, Call], conditions: Conditions
) -> Iterator[tuple[Entry, Peak]]:
    """Measure each network's memory in float32, in a process of its own, at the largest batch."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{index}.onnx" for index, name in enumerate(prepared.subjects)}
        for name, path in paths.items():
            path.write_bytes(prepared.subjects[name].graph)
        for entry in calls:
            is_default = entry.precision == "float32" and entry.backend not in SLOW_TO_OPEN
            if is_default and entry.batch == max(plan.batches):
                shape = (entry.batch, *prepared.subjects[entry.subject].shape)
                yield (
                    entry,
                    measure_peak(paths[entry.subject], entry.backend, shape, threads=conditions.threads),
                )


def _not_run(groups: Sequence[Contenders]) -> Iterator[Skipped]:
    for skip in dict.fromkeys(skip for group in groups for skip in group.skipped):
        yield replace(skip, reason=portable(skip.reason), remedy=portable(skip.remedy))
