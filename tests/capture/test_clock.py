import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler.capture.clock import SMALL_STEP_NS, ForwardClock
from juggler.capture.frames import Account

STEPS = st.sampled_from(
    [0, 1, -1, 5_000, -5_000, SMALL_STEP_NS, -SMALL_STEP_NS, -SMALL_STEP_NS - 1, -(10**15), 10**15]
)


def by_hand(times: list[int]) -> list[int]:
    """Return the times one by one, as the docstring of the clock says."""
    latest, offset, out = times[0], 0, []
    for time in times:
        if time + offset < latest - SMALL_STEP_NS:
            offset = latest - time
        latest = max(latest, time + offset)
        out.append(latest)
    return out


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=30), st.integers(1, 8))
def test_times_go_forwards_alike_whatever_the_cuts(steps, cut):
    times = (np.cumsum(steps) + 2 * 10**18).tolist()
    clock, account, out = ForwardClock(), Account(), []
    for begin in range(0, len(times), cut):
        out += clock.forward(np.array(times[begin : begin + cut], np.int64), account).tolist()
    assert out == by_hand(times) == sorted(out)
    assert clock.now_ns == out[-1]
