"""The clock, on a time source that the tests drive: no test depends on how fast the machine is."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from juggler.clock.interference import Taken
from juggler.clock.race import Samples, race, ratio
from juggler.errors import ConfigError


class FakeTime:
    """A time source in nanoseconds that moves only when a contender says so."""

    def __init__(self) -> None:
        self.now = 0
        self.calls: list[str] = []

    @property
    def alone(self) -> dict[str, Any]:
        """Return the options of a race on this time, on a machine where nobody else runs."""
        return {"now_ns": self, "canary": False, "taken": lambda: Taken(0)}

    def __call__(self) -> int:
        return self.now

    def contender(self, name: str, *durations_ms: float) -> Callable[[], None]:
        """Take the durations in turn; the last one for ever."""
        left = list(durations_ms)

        def call() -> None:
            self.calls.append(name)
            self.now += int((left.pop(0) if len(left) > 1 else left[0]) * 1e6)

        return call


def test_every_call_is_a_sample_and_a_block_lasts_long_enough() -> None:
    time = FakeTime()
    samples = race({"a": time.contender("a", 2.0)}, rounds=3, min_block_ms=5.0, warmup_s=0.0, **time.alone)[
        "a"
    ]
    assert [len(block) for block in samples.rounds_ms] == [3, 3, 3]
    assert samples.values.tolist() == [2.0] * 9
    assert len(samples.interruptions) == 3


def test_rounds_interleave_in_an_order_that_the_seed_draws() -> None:
    def order(seed: int) -> list[str]:
        time = FakeTime()
        contenders = {name: time.contender(name, 10.0) for name in "abc"}
        race(contenders, rounds=8, warmup_s=0.0, seed=seed, **time.alone)
        return time.calls[::2]  # without the calls that lead in

    first = order(1)
    rounds = ["".join(first[i : i + 3]) for i in range(0, 24, 3)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len(set(rounds)) > 1
    assert order(1) == first
    assert order(2) != first


def test_warm_up_ends_when_two_blocks_agree() -> None:
    time = FakeTime()
    call = time.contender("a", 100.0, 50.0, 20.0, 10.0, 10.1)
    samples = race({"a": call}, rounds=2, warmup_s=60.0, **time.alone)["a"]
    assert len(time.calls) == 5 + 2 * 2
    assert samples.values.tolist() == [10.1, 10.1]


def test_warm_up_that_never_settles_is_bounded() -> None:
    time = FakeTime()
    call = time.contender("a", *(float(2 ** (i % 2) * 100) for i in range(1000)))
    race({"a": call}, rounds=1, warmup_s=1.0, **time.alone)
    assert len(time.calls) == 7 + 2


def test_a_call_that_the_time_source_cannot_see_ends() -> None:
    time = FakeTime()
    samples = race({"a": time.contender("a", 0.0)}, rounds=1, warmup_s=0.0, **time.alone)["a"]
    assert samples.values.size == 100_000


def test_percentiles() -> None:
    samples = Samples((np.arange(1.0, 51.0), np.arange(51.0, 101.0)))
    assert (samples.min_ms, samples.median_ms) == (1.0, 50.5)
    assert samples.p95_ms == pytest.approx(95.05)
    assert samples.p99_ms == pytest.approx(99.01)
    assert samples.round_medians_ms.tolist() == [25.5, 75.5]


def test_ratio_pairs_the_rounds_so_that_drift_cancels() -> None:
    drift = np.linspace(1.0, 10.0, 30)
    slow = Samples(tuple(np.full(5, 2.0 * d) for d in drift))
    fast = Samples(tuple(np.full(5, d) for d in drift))
    found = ratio(slow, fast, resolution=0.0)
    assert (found.median, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_ratio_interval_holds_the_truth_and_shrinks_with_rounds() -> None:
    generator = np.random.default_rng(0)

    def noisy(rounds: int, centre: float) -> Samples:
        return Samples(tuple(centre * generator.lognormal(0.0, 0.1, 5) for _ in range(rounds)))

    few = ratio(noisy(10, 3.0), noisy(10, 1.0))
    many = ratio(noisy(400, 3.0), noisy(400, 1.0))
    assert few.low <= few.median <= few.high
    assert many.low < 3.0 < many.high
    assert many.high - many.low < few.high - few.low


def test_ratio_tells_apart_only_what_two_of_a_kind_do_not_differ_by() -> None:
    slow, fast = Samples((np.full(1, 2.0),) * 9), Samples((np.full(1, 1.0),) * 9)
    found = ratio(slow, fast)
    assert (found.median, found.low, found.high) == pytest.approx((2.0, 1.98, 2.02))


def test_ratio_of_two_races_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 rounds against 1"):
        ratio(Samples((np.ones(1), np.ones(1))), Samples((np.ones(1),)))


def test_progress_counts_turns() -> None:
    seen: list[tuple[int, int]] = []
    time = FakeTime()
    contenders = {"a": time.contender("a", 9.0), "b": time.contender("b", 9.0)}
    race(
        contenders,
        rounds=2,
        warmup_s=0.0,
        progress=lambda at: seen.append((at.done, at.total)),
        **time.alone,
    )
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_garbage_collection_is_off_during_the_race_and_on_again_after_a_failure() -> None:
    states: list[bool] = []

    def call() -> None:
        states.append(gc.isenabled())
        raise KeyError("stop")

    with pytest.raises(KeyError):
        race({"a": call}, rounds=1)
    assert states == [False]
    assert gc.isenabled()


def test_the_real_time_source_moves() -> None:
    samples = race({"a": lambda: sum(range(1000))}, rounds=2, min_block_ms=0.1, warmup_s=0.01)["a"]
    assert samples.min_ms > 0.0


@pytest.mark.parametrize(
    "options",
    [{"rounds": 0}, {"rounds": 1, "min_block_ms": -1.0}, {"rounds": 1, "warmup_s": float("nan")}],
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        race({"a": lambda: None}, **options)  # type: ignore[arg-type]


def test_nobody_to_race_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 contenders"):
        race({}, rounds=1)


def test_samples_without_a_call_are_refused() -> None:
    with pytest.raises(ConfigError):
        Samples(())
