"""The one clock: race callables against each other in one run, interleaved, and compare them fairly.

A shared machine drifts: its frequency, its neighbours and its caches change from second to second. Two
things timed one after the other differ by that drift; two things timed in turns, in an order drawn anew
for every round, do not. A burst of somebody else's work falls on one turn and not on its partner: a turn
that was disturbed, by what the kernel and a canary say, is run again at once. So every figure of speed
comes from `race`, and every comparison from `ratio`, which pairs the rounds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from juggler.checks import refuse_faults
from juggler.clock.canary import look_out
from juggler.clock.interference import Taken, Watch, taken_by_kernel
from juggler.clock.interval import median_interval
from juggler.clock.turns import RoundTiming, Track
from juggler.errors import ConfigError
from juggler.nouns import Noun, Progress, ReportProgress

# Two sessions of one network, opened in one process, differ for good by where their memory lies. Of ten pairs
# on ONNX Runtime, each raced three times on a quiet machine, one differed by 2.3 % in all three races, and
# all by a standard deviation of 0.5 %. Rounds cannot see that: the interval is widened by twice as much.
RESOLUTION = 0.01
UNLIKE_TURNS = 1.25  # one is so many times as long as the other
FEWEST_CALM = 6  # rounds, for a 95 % interval of a median


@dataclass(frozen=True)
class Samples:
    """Durations of single calls of one contender, in milliseconds, kept apart by round.

    Attributes:
        rounds_ms: one array a round, of shape `[calls]`.
        interruptions: times the process was taken off a core against its will, one number a round.
        rejected: attempts that were run again because the machine was disturbed, one number a round.
        disturbed: whether the attempt that was kept is a disturbed one too, one a round.
        first_medians_ms: the median of the first attempt at each round, in milliseconds.
    """

    rounds_ms: tuple[npt.NDArray[np.float64], ...]
    interruptions: tuple[int, ...] = field(default=())
    rejected: tuple[int, ...] = field(default=())
    disturbed: tuple[bool, ...] = field(default=())
    first_medians_ms: tuple[float, ...] = field(default=())

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
    def turn_ms(self) -> float:
        """Return the median length of a turn, the sum of its calls, in milliseconds."""
        return float(np.median([block.sum() for block in self.rounds_ms]))

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
    progress: ReportProgress | None = None,
    now_ns: Callable[[], int] = time.perf_counter_ns,
    canary: Callable[[], float] | bool = True,
    taken: Callable[[], Taken] = taken_by_kernel,
    patience: float = 1.0,
) -> dict[str, Samples]:
    """Time every contender in every round, in an order drawn anew for each round.

    A contender's turn is a block: its call is repeated until `min_block_ms` have passed, and each call is
    timed by itself, so that the tail is kept. It is led in by 4 ms of calls that are not timed, one at
    least, unless a call takes more than 200 ms. A turn during which the process lost a core more often, or
    waited for one longer, than it usually does, or beside which the canary was slow, is run again at once,
    up to three times; of those the least disturbed is kept. Cyclic garbage is not collected meanwhile: a
    pause would fall on whoever runs, whoever made the garbage.

    Args:
        contenders: what to call, by name; the names return as the keys of the result, in the same order.
        rounds: turns of each contender.
        min_block_ms: shortest turn, in milliseconds.
        warmup_s: longest warm-up of one contender, in seconds; it ends early once the medians of two
            successive blocks agree to 2 %.
        seed: draws the orders.
        progress: called with turns done and turns in all, before the first and after each.
        now_ns: the time source, in nanoseconds.
        canary: True for the usual one, False for none, or what returns the milliseconds that a fixed piece
            of work took just now.
        taken: returns how often the kernel has taken a core from this process so far, and how long its
            threads have waited for one.
        patience: what waiting and running again may cost, as a share of what the race takes without; 0 marks
            disturbed turns only.

    Raises:
        ConfigError: no contender, or an option out of range.
    """
    _check(contenders, rounds, min_block_ms, warmup_s, patience)
    generator = np.random.default_rng(seed)
    names = list(contenders)
    turns: dict[str, list[RoundTiming]] = {name: [] for name in names}
    done, total = 0, rounds * len(names)
    if progress:
        progress(Progress("race", done, total, "turns"))
    with _without_garbage_collection(), look_out(canary) as looking:
        track = Track(contenders, min_block_ms, now_ns, Watch(looking, taken), patience)
        for name in names:
            track.warm_up(name, warmup_s)
        for _ in range(rounds):
            for index in generator.permutation(len(names)):
                turns[names[index]].append(track.turn(names[index]))
                done += 1
                if progress:
                    progress(Progress("race", done, total, "turns"))
    return {name: _samples(timings) for name, timings in turns.items()}


def ratio(
    a: Samples, b: Samples, *, seed: int = 0, resamples: int = 2000, resolution: float = RESOLUTION
) -> Ratio:
    """Say how many times longer `a` takes than `b`: the median over paired rounds, and its 95 % interval.

    The interval is a bootstrap over rounds, for calls within a round are not independent; see
    `juggler.clock.interval`. Rounds in which either was disturbed to the last are left out where 6 others
    are left. Where most rounds were disturbed at the first attempt and one has longer turns than the other,
    the first attempts of all rounds are compared: the pauses of a busy machine are long enough for the short
    one's turns and not for the long one's, so to choose would favour the short.

    Args:
        a: the slower, if the ratio is to be a speed-up.
        b: what it is compared with, from the same race.
        seed: draws the resamples.
        resamples: how many.
        resolution: by what share the interval is widened at either end, for what differs between two
            contenders of one kind and stays so for a race; 0 tells of these two contenders alone.

    Raises:
        ConfigError: they have different numbers of rounds, so they are not of one race.
    """
    if len(a.rounds_ms) != len(b.rounds_ms):
        raise ConfigError(
            "compare two contenders",
            f"{len(a.rounds_ms)} rounds against {len(b.rounds_ms)}",
            "Time both in one race, so that their rounds can be paired",
        )
    pairs = _paired(a, b)
    low, high = median_interval(pairs, seed=seed, resamples=resamples)
    return Ratio(float(np.median(pairs)), low * (1.0 - resolution), high * (1.0 + resolution))


def _samples(turns: list[RoundTiming]) -> Samples:
    return Samples(
        rounds_ms=tuple(turn.block_ms for turn in turns),
        interruptions=tuple(turn.switches for turn in turns),
        rejected=tuple(turn.rejected for turn in turns),
        disturbed=tuple(turn.disturbance > 1.0 for turn in turns),
        first_medians_ms=tuple(turn.first_ms for turn in turns),
    )


def _paired(a: Samples, b: Samples) -> npt.NDArray[np.float64]:
    """Return the ratio in each round that counts, `[rounds or fewer]`."""
    pairs: npt.NDArray[np.float64] = a.round_medians_ms / b.round_medians_ms
    again = _either(a.rejected, b.rejected, pairs.size) | _either(a.disturbed, b.disturbed, pairs.size)
    if 2 * np.count_nonzero(again) > pairs.size and a.first_medians_ms and b.first_medians_ms:
        longer, shorter = max(a.turn_ms, b.turn_ms), min(a.turn_ms, b.turn_ms)
        if longer > UNLIKE_TURNS * shorter:
            pairs = np.array(a.first_medians_ms) / np.array(b.first_medians_ms)
            return pairs
    # Both or neither: an undisturbed turn beside a disturbed one would flatter its contender.
    calm = pairs[~_either(a.disturbed, b.disturbed, pairs.size)]
    return calm if calm.size >= FEWEST_CALM else pairs


def _either(a: Sequence[int], b: Sequence[int], rounds: int) -> npt.NDArray[np.bool_]:
    none = (0,) * rounds  # of samples that no race has made
    either: npt.NDArray[np.bool_] = np.any([a or none, b or none], axis=0)
    return either


def _check(
    contenders: Mapping[str, object], rounds: int, min_block_ms: float, warmup_s: float, patience: float
) -> None:
    refuse_faults(
        "race contenders",
        {
            f"{len(contenders)} contenders": not contenders,
            f"{rounds} rounds": rounds < 1,
            f"min_block_ms={min_block_ms}": not min_block_ms >= 0.0,
            f"warmup_s={warmup_s}": not warmup_s >= 0.0,
            f"patience={patience}": not patience >= 0.0,
        },
        "Give at least one of each, and durations from 0 up",
    )


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
