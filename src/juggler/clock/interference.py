"""Judge whether the machine was a contender's own during its turn: by what the kernel took, and by a canary.

The kernel counts how often it took a core from this process, and how long threads that could run waited for
one: a woken thread that stands behind somebody else's is not switched, it just waits.

What is usual is learnt in the race itself, as a low quantile of what was seen so far, so that the machine
may be busy for most of it. A canary is held against the canaries after the same contender, whose threads may
still be spinning. What the kernel took is held against the contender it usually takes most from, such as one
with more threads than there are cores: a limit of each one's own would be stricter to one of two equals for
a whole race. Neither looks at how long the turn's calls took: to reject slow turns for being slow would
favour whoever varies more.
"""

from __future__ import annotations

import math
import resource
from bisect import insort
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# On a quiet machine 99 of 100 canaries take up to 3 times their lower quartile, for two threads may wake on
# one core; on a busy one those that met a burst take 8 times as long or more: a scheduler's slice is 3 ms.
CANARY_LIMIT = 4.0
# A quiet machine's own, for ONNX Runtime on every core: up to one switch in any turn and one more in 20 ms,
# and in nearly 9 of 10 turns its threads wait for a core for less than 2 % of the turn, all together.
SPARE_SWITCHES = 1
QUIET_SWITCHES_PER_MS = 0.05
QUIET_WAITING = 0.02
USUAL_LIMIT = 2.0  # times the usual


class Taken(NamedTuple):
    """How often the kernel took a core from the process, and how long its threads waited for one in all."""

    switches: int
    waited_ms: float = 0.0

    def since(self, before: Taken) -> Taken:
        """Return what was taken since."""
        return Taken(self.switches - before.switches, self.waited_ms - before.waited_ms)


class Watch:
    """Follows a race: look between turns, `disturbance` after each.

    Args:
        canary: returns how long a fixed piece of work took, in milliseconds; None for none.
        taken: returns what the kernel has taken from this process so far.
    """

    def __init__(self, canary: Callable[[], float] | None, taken: Callable[[], Taken]) -> None:
        self._canary = canary
        self.taken = taken
        self._looks: dict[str, list[float]] = defaultdict(list)
        self._rates: dict[str, list[float]] = defaultdict(list)
        self._shares: dict[str, list[float]] = defaultdict(list)
        self.loudness = 0.0

    @property
    def is_loud(self) -> bool:
        """Say whether the last look saw others run."""
        return self.loudness > 1.0

    def look(self, after: str) -> None:
        """Run the canary, and note how loud it is: in units of the limit, above 1 where others run.

        Args:
            after: the contender that ran last.
        """
        if self._canary is None:
            return
        took_ms = self._canary()
        if not 0.0 < took_ms < math.inf:  # a core was never given back, or the canary tells nothing
            self.loudness = math.inf if took_ms > 0.0 else 0.0
            return
        looks = self._looks[after]
        insort(looks, took_ms)
        usual_ms = looks[len(looks) // 4]
        self.loudness = took_ms / (CANARY_LIMIT * usual_ms)

    def disturbance(self, name: str, taken: Taken, turn_ms: float, loudness: float) -> float:
        """Return how disturbed a turn was, above 1 where it does not count.

        Args:
            name: whose turn.
            taken: what the kernel took from the process during the turn.
            turn_ms: how long it took, in milliseconds.
            loudness: of the look before it; the last look is the one after it.
        """
        turn_ms = max(turn_ms, 1e-3)
        rate, share = max(0, taken.switches - SPARE_SWITCHES) / turn_ms, taken.waited_ms / turn_ms
        insort(self._rates[name], rate)
        insort(self._shares[name], share)
        usual_rate = max(QUIET_SWITCHES_PER_MS, *(rates[len(rates) // 10] for rates in self._rates.values()))
        usual_share = max(QUIET_WAITING, *(shares[len(shares) // 10] for shares in self._shares.values()))
        return max(
            loudness, self.loudness, rate / (USUAL_LIMIT * usual_rate), share / (USUAL_LIMIT * usual_share)
        )


def taken_by_kernel() -> Taken:
    """Return what the kernel has taken from this process so far; the waiting on Linux only."""
    waited_ns = 0
    for statistics in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(
            OSError, IndexError, ValueError
        ):  # the thread has ended, or the kernel keeps no account
            waited_ns += int(statistics.read_text(encoding="ascii").split()[1])
    return Taken(resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw, waited_ns / 1e6)
