"""The capture's clock, made to go forwards: it may jump back, and flows may not end before they begin."""

from __future__ import annotations

import numpy as np

from juggler.capture.frames import Account, Ints

SMALL_STEP_NS = 60_000_000_000
"""Up to a minute back is disorder, which packets of several queues have; more is a clock that was set."""


class ForwardClock:
    """Give each packet a time that is never before that of a packet before it.

    A packet that comes a little late takes the time of the latest before it. Behind a clock that was set back
    by more than `SMALL_STEP_NS` time goes on from where it was, so that later intervals are right. What it
    gives does not depend on how the packets were cut into blocks.
    """

    def __init__(self) -> None:
        self._latest_ns: int | None = None
        self._offset_ns = 0

    @property
    def now_ns(self) -> int:
        """Return the latest time; 0 before the first packet."""
        return self._latest_ns or 0

    def forward(self, times_ns: Ints, account: Account) -> Ints:
        """Return the times, moved so that they go forwards; the account notes how many went back."""
        if not len(times_ns):
            return times_ns
        before = int(times_ns[0]) if self._latest_ns is None else self._latest_ns
        moved = times_ns + self._offset_ns
        latest = np.maximum.accumulate(np.maximum(moved, before))
        if (moved < latest - SMALL_STEP_NS).any():
            latest = self._step_by_step(times_ns, before, account)
        else:
            account.note("clock_went_back", int(np.count_nonzero(moved < latest)))
        self._latest_ns = int(latest[-1])
        return latest

    def _step_by_step(self, times_ns: Ints, latest: int, account: Account) -> Ints:
        offset, forward, late, steps = self._offset_ns, [], 0, 0
        for time in times_ns.tolist():
            moved = time + offset
            if moved < latest - SMALL_STEP_NS:
                offset, steps = latest - time, steps + 1
                moved = latest
            late += moved < latest
            latest = max(latest, moved)
            forward.append(latest)
        self._offset_ns = offset
        account.note("clock_went_back", late)
        account.note("clock_was_set_back", steps)
        return np.array(forward, np.int64)
