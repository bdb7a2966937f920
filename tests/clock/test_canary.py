"""The canary itself, on this machine, whatever it takes; and what becomes of one that fails."""

from __future__ import annotations

import math
import threading

import pytest

from juggler.clock import canary as room
from juggler.clock.canary import Canary, look_out, rest
from juggler.clock.interference import Taken, Watch, taken_by_kernel
from juggler.clock.race import race


def canaries() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "canary"]


@pytest.mark.parametrize("cores", [1, 3])
def test_a_canary_takes_time_and_ends_its_threads(cores: int) -> None:
    before = set(canaries())
    with Canary(cores) as canary:
        own = set(canaries()) - before
        assert len(own) == cores
        assert all(0.0 < canary() < math.inf for _ in range(3))
    for thread in own:
        thread.join(5.0)
    assert not any(thread.is_alive() for thread in own)


def test_a_core_that_is_not_given_back_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LATE_S", 0.01)
    given_back = threading.Event()
    with Canary(2) as canary:
        canary._go[0].acquire = given_back.wait  # type: ignore[method-assign]
        canary()
        assert canary() == math.inf
        assert canary() == math.inf
    given_back.set()


def test_a_system_without_threads_has_no_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with look_out(True) as canary:
        assert canary is None
    assert race({"a": lambda: None}, rounds=2, min_block_ms=0.0, warmup_s=0.0)["a"].values.size == 2


def test_another_canary_and_none() -> None:
    with look_out(False) as canary:
        assert canary is None
    with look_out(lambda: 1.0) as canary:
        assert canary is not None
        assert canary() == 1.0


def test_rest_ends_though_a_thread_goes_on_spinning(monkeypatch: pytest.MonkeyPatch) -> None:
    naps = []
    monkeypatch.setattr(room.time, "sleep", naps.append)
    clock = iter(range(10_000))
    monkeypatch.setattr(room.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(room.time, "process_time", lambda: next(clock))
    rest()
    assert len(naps) == room.RESTS


@pytest.mark.parametrize("broken_ms", [math.inf, math.nan, 0.0, -1.0])
def test_a_look_that_tells_nothing_is_no_measure_of_the_usual(broken_ms: float) -> None:
    looks = iter([1.0, broken_ms, 1.0, 5.0])
    watch = Watch(lambda: next(looks), lambda: Taken(0))
    watch.look("a")
    assert not watch.is_loud
    watch.look("a")
    assert watch.is_loud is (broken_ms == math.inf)
    watch.look("a")
    assert not watch.is_loud
    watch.look("a")
    assert watch.is_loud


def test_the_usual_is_of_looks_after_the_same_contender() -> None:
    looks = iter([1.0, 5.0, 5.0, 1.0, 5.0])
    watch = Watch(lambda: next(looks), lambda: Taken(0))
    heard = []
    for name in ("quick", "spinning", "spinning", "quick", "quick"):
        watch.look(name)
        heard.append(watch.is_loud)
    assert heard == [False, False, False, False, True]


def test_what_the_kernel_took_only_grows() -> None:
    before = taken_by_kernel()
    sum(range(100_000))
    since = taken_by_kernel().since(before)
    assert since.switches >= 0
