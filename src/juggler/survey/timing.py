"""Time an image takes, and the power drawn meanwhile: all networks in turns, on one runtime, batch 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil

from juggler.clock.interval import median_interval
from juggler.clock.power import best_meter, why_none
from juggler.clock.race import race
from juggler.errors import Unavailable
from juggler.nouns import Progress, ReportProgress, ignore_progress
from juggler.runtime.measure.contenders import normal
from juggler.runtime.open import open_session
from juggler.survey.amount import MEASURED, Amount

WARMUP_S, BLOCK_MS = 0.5, 5.0
MEMORY_SHARE, COPIES = 0.4, 2.5  # a session holds a graph's weights about twice

Shape = tuple[int, ...]
Measured = tuple[Amount, Amount]  # milliseconds and watts


def measure_networks(
    graphs: Mapping[str, tuple[Path, Shape]],
    backend: str,
    *,
    threads: int | None = None,
    rounds: int = 15,
    progress: ReportProgress | None = None,
    room_bytes: float | None = None,
) -> dict[str, Measured]:
    """Return the time and the power of each network, at batch 1 on random normal inputs.

    Networks race in one go where all fit into memory together, and in as few groups as do where not.

    Args:
        graphs: an ONNX file and the shape of one input, by name.
        backend: what runs them.
        threads: cores that one call may use; None is the backend's own choice.
        rounds: turns of each.
        progress: told the networks that are done.
        room_bytes: what all sessions of a race may hold; None is a share of what is free.

    Raises:
        Unavailable: the backend cannot work here.
        ArtefactError: it cannot open a graph.
    """
    room = MEMORY_SHARE * psutil.virtual_memory().available if room_bytes is None else room_bytes
    sizes = {name: COPIES * path.stat().st_size for name, (path, _) in graphs.items()}
    measured: dict[str, Measured] = {}
    for group in grouped(sizes, room):
        before = len(measured)
        report = partial(_report_group, progress or ignore_progress, before, len(group), len(graphs))
        measured |= _group({name: graphs[name] for name in group}, backend, threads, rounds, report)
    return measured


def grouped(sizes: Mapping[str, float], room: float) -> list[list[str]]:
    """Return names in groups that fit into the room, in order; what alone is too large stands alone."""
    groups: list[list[str]] = []
    held = 0.0
    for name, size in sizes.items():
        if not groups or held + size > room:
            groups.append([])
            held = 0.0
        groups[-1].append(name)
        held += size
    return groups


def _report_group(report: ReportProgress, before: int, group: int, total: int, race: Progress) -> None:
    """Report how many networks are done, where so many before this group are."""
    report(Progress("time networks", before + group * race.share, total, "networks"))


def _group(
    graphs: Mapping[str, tuple[Path, Shape]],
    backend: str,
    threads: int | None,
    rounds: int,
    progress: ReportProgress,
) -> dict[str, Measured]:
    with ExitStack() as stack:
        calls = {}
        for name, (path, shape) in graphs.items():
            session = stack.enter_context(open_session(path, backend, threads=threads))
            calls[name] = partial(session.run, normal((1, *shape), seed=0))
        raced = race(calls, rounds=rounds, min_block_ms=BLOCK_MS, warmup_s=WARMUP_S, progress=progress)
        watts = power(list(calls.values()))
    together = f"{len(calls)} networks in turns, {rounds} rounds"
    times = {
        name: Amount(
            samples.median_ms,
            MEASURED,
            f"this machine, {backend}, batch 1, {together}",
            *_around(samples.median_ms, median_interval(samples.round_medians_ms)),
        )
        for name, samples in raced.items()
    }
    return {name: (time, watt) for (name, time), watt in zip(times.items(), watts, strict=True)}


def _around(median: float, ends: tuple[float, float]) -> tuple[float, float]:
    """Return the interval; the median over all calls may lie a little beside that over rounds."""
    return min(median, ends[0]), max(median, ends[1])


def power(calls: Sequence[Callable[[], object]]) -> list[Amount]:
    """Return the watts drawn while each call is repeated; without a meter the reason why not."""
    meter = best_meter()
    if meter is None:
        return [Amount.none(f"no meter: {why_none()}")] * len(calls)
    measured = []
    for call in calls:
        try:
            reading = meter.read(call)
        except Unavailable as error:
            measured.append(Amount.none(f"{meter.name}: {error.found}"))
        else:
            measured.append(
                Amount(
                    reading.power_w, MEASURED, f"{meter.what}, {reading.seconds:.1f} s, idle share included"
                )
            )
    return measured
