"""Judge whether the machine was a contender's own during its turn: by involuntary switches and by a canary.

What is usual is learnt in the race itself, as the lower quartile of what was seen so far, so that the machine
may be busy for most of it. A canary is held against the canaries after the same contender, whose threads may
still be spinning. Switches are held against the rate of the contender that has most of them, such as one
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

# On a quiet machine 99 of 100 canaries take less than 1.5 times their lower quartile; on a busy one those
# that met a burst take 6 times as long or more, for a scheduler's slice is 3 or 4 ms, and few lie between.
CANARY_LIMIT = 2.0
# A quiet machine's own: the kernel's housekeeping takes a core from a busy thread up to 50 times a second.
QUIET_SWITCHES_PER_MS = 0.05
SWITCHES_LIMIT = 2.0  # times the usual rate
SPARE_SWITCHES = 1  # in any turn, however short


class Watch:
    """Follows a race: look between turns, `disturbance` after each.

    Args:
        canary: returns how long a fixed piece of work took, in milliseconds; None for none.
        switches: returns how often the kernel has taken a core from this process so far.
    """

    def __init__(self, canary: Callable[[], float] | None, switches: Callable[[], int]) -> None:
        self._canary = canary
        self.switches = switches
        self._looks: dict[str, list[float]] = defaultdict(list)
        self._rates: dict[str, list[float]] = defaultdict(list)
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
        insort(self._looks[after], took_ms)
        self.loudness = took_ms / (CANARY_LIMIT * _usual(self._looks[after]))

    def disturbance(self, name: str, switches: int, turn_ms: float, loudness: float) -> float:
        """Return how disturbed a turn was, above 1 where it does not count.

        Args:
            name: whose turn.
            switches: involuntary ones during the turn.
            turn_ms: how long it took, in milliseconds.
            loudness: of the look before it; the last look is the one after it.
        """
        rate = (switches - SPARE_SWITCHES) / max(turn_ms, 1e-3)
        insort(self._rates[name], max(0.0, rate))
        usual = max(QUIET_SWITCHES_PER_MS, *map(_usual, self._rates.values()))
        return max(loudness, self.loudness, rate / (SWITCHES_LIMIT * usual))


def involuntary_switches() -> int:
    """Return how often the kernel has taken a core from this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _usual(ordered: list[float]) -> float:
    return ordered[len(ordered) // 4]
