"""The turns of a race: led in, timed call by call, watched, and taken again where somebody disturbed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from juggler.clock.interference import Watch

AGREEMENT = 0.02  # two warm-up blocks whose medians differ by less are taken as warm
MAX_BLOCK_CALLS = 100_000  # ends a block of calls that the time source cannot see
ATTEMPTS = 4  # at one turn, the first included
LOOKS = 10  # for a calm moment before an attempt
# A contender's first calls after another's meet caches and threads gone cold: of a network of 0.75 ms on ONNX
# Runtime the first takes 2.2 times as long, the second 1.7, the third 1.2, the fourth 1.05, the sixth 1.
LEAD_IN_MS = 4.0
LONGEST_LED_IN_MS = 200.0  # of such a call the start is below 2 %, and another call would double the turn


class RoundTiming(NamedTuple):
    """The attempt that was kept of a turn: its calls `[calls]` in milliseconds, and what disturbed it."""

    block_ms: npt.NDArray[np.float64]
    switches: int
    disturbance: float
    first_ms: float  # the median call of the first attempt
    rejected: int = 0


class Track:
    """Runs the turns of one race and keeps account of what waiting and running again have cost.

    Args:
        contenders: what to call, by name.
        min_block_ms: shortest turn, in milliseconds.
        now_ns: the time source, in nanoseconds.
        watch: judges the turns.
        patience: what waiting and running again may cost, as a share of what the first attempts cost.
    """

    def __init__(
        self,
        contenders: Mapping[str, Callable[[], object]],
        min_block_ms: float,
        now_ns: Callable[[], int],
        watch: Watch,
        patience: float,
    ) -> None:
        self._contenders, self._min_block_ms, self._now_ns = contenders, min_block_ms, now_ns
        self._watch, self._patience = watch, patience
        self._call_ms = dict.fromkeys(contenders, 0.0)  # of the last block
        self._last = next(iter(contenders))
        self._needed_ns = self._extra_ns = 0

    def warm_up(self, name: str, warmup_s: float) -> None:
        """Run blocks until two medians agree or the time is up; without time, do not run at all."""
        end_ns = self._now_ns() + int(warmup_s * 1e9)
        last_ms = float("inf")
        while self._now_ns() < end_ns:
            median_ms = self._attempt(name, led_in=False).first_ms
            if abs(median_ms - last_ms) <= AGREEMENT * last_ms < float("inf"):
                return
            last_ms = median_ms

    def turn(self, name: str) -> RoundTiming:
        """Take a turn, and take it again while it is disturbed and patience lasts."""
        self._wait()
        start_ns = self._now_ns()
        best = self._attempt(name)
        self._needed_ns += self._now_ns() - start_ns
        first_ms, rejected = best.first_ms, 0
        while best.disturbance > 1.0 and rejected < ATTEMPTS - 1 and self._may_go_on():
            self._wait()
            start_ns = self._now_ns()
            best = min(best, self._attempt(name), key=lambda turn: turn.disturbance)
            self._extra_ns += self._now_ns() - start_ns
            rejected += 1
        return best._replace(first_ms=first_ms, rejected=rejected)

    def _wait(self) -> None:
        """Look until the machine is calm: an attempt that begins in a burst is lost."""
        for _ in range(LOOKS):
            if not (self._watch.is_loud and self._may_go_on()):
                return
            start_ns = self._now_ns()
            self._watch.look(self._last)
            self._extra_ns += self._now_ns() - start_ns

    def _may_go_on(self) -> bool:
        return self._extra_ns < self._patience * self._needed_ns

    def _attempt(self, name: str, *, led_in: bool = True) -> RoundTiming:
        call, loudness = self._contenders[name], self._watch.loudness
        if led_in and self._call_ms[name] <= LONGEST_LED_IN_MS:
            _block(call, LEAD_IN_MS, self._now_ns)
        before, start_ns = self._watch.taken(), self._now_ns()
        block_ms = _block(call, self._min_block_ms, self._now_ns)
        turn_ms = (self._now_ns() - start_ns) / 1e6
        taken = self._watch.taken().since(before)
        self._call_ms[name], self._last = float(np.median(block_ms)), name
        self._watch.look(name)
        disturbance = self._watch.disturbance(name, taken, turn_ms, loudness)
        return RoundTiming(block_ms, taken.switches, disturbance, self._call_ms[name])


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
