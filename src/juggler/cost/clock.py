"""The one clock: race callables against each other in one run, interleaved, and compare them fairly.

A shared machine drifts: its frequency, its neighbours and its caches change from second to second. Two
things timed one after the other differ by that drift; two things timed in turns, in an order drawn anew
for every round, do not. So every figure of speed comes from `race`, and every comparison from `ratio`,
which pairs the rounds.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from juggler.errors import ConfigError
from juggler.nouns import Noun

Progress = Callable[[int, int], None]

AGREEMENT = 0.02  # two warm-up blocks whose medians differ by less are taken as warm
MAX_BLOCK_CALLS = 100_000  # ends a block of calls that the time source cannot see


@dataclass(frozen=True)
class Samples:
    """Durations of single calls of one contender, in milliseconds, kept apart by round.

    Attributes:
        rounds_ms: one array a round, of shape `[calls]`.
        interruptions: times the process was taken off a core against its will, one number a round.
    """

    rounds_ms: tuple[npt.NDArray[np.float64], ...]
    interruptions: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.rounds_ms or any(block.size == 0 for block in self.rounds_ms):
            raise ConfigError(
                "summarise durations", "a round without a call", "Time at least one call a round"
            )

    @cached_property
    def values(self) -> npt.NDArray[np.float64]:
        """Return the durations of all calls, `[calls]`, in milliseconds."""
        return np.concatenate(self.rounds_ms)

    @cached_property
    def round_medians_ms(self) -> npt.NDArray[np.float64]:
        """Return the median of each round, `[rounds]`, in milliseconds."""
        return np.array([np.median(block) for block in self.rounds_ms])

    @property
    def min_ms(self) -> float:
        """Return the shortest call, in milliseconds."""
        return float(self.values.min())

    @property
    def median_ms(self) -> float:
        """Return the median call, in milliseconds."""
        return float(np.median(self.values))

    @property
    def p95_ms(self) -> float:
        """Return what 95 % of the calls stay within, in milliseconds."""
        return float(np.percentile(self.values, 95))

    @property
    def p99_ms(self) -> float:
        """Return what 99 % of the calls stay within, in milliseconds."""
        return float(np.percentile(self.values, 99))


@dataclass(frozen=True)
class Ratio(Noun):
    """How many times longer one contender takes than another, with a 95 % interval over the rounds."""

    median: float
    low: float
    high: float


def race(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    min_block_ms: float = 5.0,
    warmup_s: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
    now_ns: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, Samples]:
    """Time every contender in every round, in an order drawn anew for each round.

    A contender's turn is a block: its call is repeated until `min_block_ms` have passed, and each call is
    timed by itself, so that the tail is kept. Cyclic garbage is not collected meanwhile: a pause would
    fall on whoever runs, whoever made the garbage.

    Args:
        contenders: what to call, by name; the names return as the keys of the result, in the same order.
        rounds: turns of each contender.
        min_block_ms: shortest turn, in milliseconds.
        warmup_s: longest warm-up of one contender, in seconds; it ends early once the medians of two
            successive blocks agree to 2 %.
        seed: draws the orders.
        progress: called with turns done and turns in all, before the first and after each.
        now_ns: the time source, in nanoseconds.

    Raises:
        ConfigError: no contender, or an option out of range.
    """
    _check(contenders, rounds, min_block_ms, warmup_s)
    generator = np.random.default_rng(seed)
    names = list(contenders)
    blocks: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in names}
    interruptions: dict[str, list[int]] = {name: [] for name in names}
    done, total = 0, rounds * len(names)
    if progress:
        progress(done, total)
    with _without_garbage_collection():
        for call in contenders.values():
            _warm_up(call, min_block_ms, warmup_s, now_ns)
        for _ in range(rounds):
            for index in generator.permutation(len(names)):
                name = names[index]
                before = _switches()
                blocks[name].append(_block(contenders[name], min_block_ms, now_ns))
                interruptions[name].append(_switches() - before)
                done += 1
                if progress:
                    progress(done, total)
    return {name: Samples(tuple(blocks[name]), tuple(interruptions[name])) for name in names}


def ratio(a: Samples, b: Samples, *, seed: int = 0, resamples: int = 2000) -> Ratio:
    """Say how many times longer `a` takes than `b`: the median over paired rounds, and its 95 % interval.

    The interval is a percentile bootstrap over rounds, for calls within a round are not independent.

    Args:
        a: the slower, if the ratio is to be a speed-up.
        b: what it is compared with, from the same race.
        seed: draws the resamples.
        resamples: how many.

    Raises:
        ConfigError: they have different numbers of rounds, so they are not of one race.
    """
    if len(a.rounds_ms) != len(b.rounds_ms):
        raise ConfigError(
            "compare two contenders",
            f"{len(a.rounds_ms)} rounds against {len(b.rounds_ms)}",
            "Time both in one race, so that their rounds can be paired",
        )
    pairs = a.round_medians_ms / b.round_medians_ms
    picks = np.random.default_rng(seed).integers(pairs.size, size=(resamples, pairs.size))
    low, high = np.percentile(np.median(pairs[picks], axis=1), (2.5, 97.5))
    return Ratio(float(np.median(pairs)), float(low), float(high))


def _check(contenders: Mapping[str, object], rounds: int, min_block_ms: float, warmup_s: float) -> None:
    wrong = {
        f"{len(contenders)} contenders": not contenders,
        f"{rounds} rounds": rounds < 1,
        f"min_block_ms={min_block_ms}": not min_block_ms >= 0.0,
        f"warmup_s={warmup_s}": not warmup_s >= 0.0,
    }
    found = [text for text, is_wrong in wrong.items() if is_wrong]
    if found:
        raise ConfigError(
            "race contenders", ", ".join(found), "Give at least one of each, and durations from 0 up"
        )


def _block(
    call: Callable[[], object], min_block_ms: float, now_ns: Callable[[], int]
) -> npt.NDArray[np.float64]:
    """Repeat the call until the block is long enough; return each duration, `[calls]`, in milliseconds."""
    durations_ns: list[int] = []
    end_ns = now_ns() + int(min_block_ms * 1e6)
    while True:
        start_ns = now_ns()
        call()
        stop_ns = now_ns()
        durations_ns.append(stop_ns - start_ns)
        if stop_ns >= end_ns or len(durations_ns) == MAX_BLOCK_CALLS:
            return np.array(durations_ns, dtype=np.float64) / 1e6


def _warm_up(
    call: Callable[[], object], min_block_ms: float, warmup_s: float, now_ns: Callable[[], int]
) -> None:
    """Run blocks until two medians agree or the time is up; without time, do not run at all."""
    end_ns = now_ns() + int(warmup_s * 1e9)
    last_ms = float("inf")
    while now_ns() < end_ns:
        median_ms = float(np.median(_block(call, min_block_ms, now_ns)))
        if abs(median_ms - last_ms) <= AGREEMENT * last_ms < float("inf"):
            return
        last_ms = median_ms


def _switches() -> int:
    """Return how often the kernel has taken a core from this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
