"""A request to stop is noted once; the second interrupt ends at once."""

from __future__ import annotations

import os
import select
import signal

import pytest

from juggler.stopping import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_a_second_one_interrupts(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert select.select([stop.fileno()], [], [], 1.0)[0] == [stop.fileno()]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_the_names_of_the_last_release_still_work():
    with StopRequest() as stop:
        with pytest.warns(DeprecationWarning, match="request"):
            stop.ask()
        with pytest.warns(DeprecationWarning, match="requested"):
            assert stop.asked
