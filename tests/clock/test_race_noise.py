"""The clock on a machine whose noise is known: time is virtual, bursts of somebody else's work are drawn."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from juggler.clock.interference import Taken
from juggler.clock.race import Samples, race, ratio

RACES = 400
FEWEST = 367  # of 400: 95 % less three standard deviations of a binomial, 380 - 3 * 4.4
BURSTS = {"now and then": (30.0, 300.0), "for 3 parts in 10": (150.0, 350.0), "mostly": (350.0, 150.0)}


@pytest.fixture(autouse=True, scope="module")
def quick_collection() -> Iterator[None]:
    """Spare each of the many races the garbage collection of all that the test run has loaded."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Machine:
    """A machine on which work takes 4 times as long during a burst; all in milliseconds.

    Args:
        seed: draws the bursts and the jitter of 2 % of each call.
        burst_ms: mean length of a burst; 0 for none.
        pause_ms: mean length of a pause.
    """

    def __init__(self, seed: int, burst_ms: float = 0.0, pause_ms: float = 1e12) -> None:
        self.generator = np.random.default_rng(seed)
        self.means_ms = (pause_ms, burst_ms)
        self.now_ms = self.lost_ms = 0.0
        self.bursting = False
        self.until_ms = self.generator.exponential(pause_ms)
        self.calls: list[str] = []

    def work(self, work_ms: float) -> float:
        """Do the work; return how long it took."""
        start_ms = self.now_ms
        while work_ms > 0.0:
            slowness = 4.0 if self.bursting else 1.0
            step_ms = min(work_ms * slowness, self.until_ms - self.now_ms)
            self.now_ms += step_ms
            work_ms -= step_ms / slowness
            self.lost_ms += step_ms if self.bursting else 0.0
            if self.now_ms >= self.until_ms:
                self.bursting = not self.bursting
                self.until_ms += self.generator.exponential(self.means_ms[self.bursting]) + 1e-6
        return self.now_ms - start_ms

    def contender(self, name: str, work_ms: float) -> Callable[[], None]:
        def call() -> None:
            self.calls.append(name)
            self.work(work_ms * self.generator.lognormal(0.0, 0.02))

        return call

    def canary(self) -> float:
        self.work(5.0)
        return self.work(0.4)

    def taken(self) -> Taken:
        return Taken(int(self.lost_ms / 4.0), self.lost_ms)

    def race(self, contenders: dict[str, Callable[[], None]], **options: Any) -> dict[str, Samples]:
        given = {
            "rounds": 12,
            "min_block_ms": 0.0,
            "warmup_s": 0.0,
            "canary": self.canary,
            "taken": self.taken,
        }
        return race(contenders, now_ns=lambda: int(self.now_ms * 1e6), **(given | options))


def pair(machine: Machine, truth: float, work_ms: float, **options: Any) -> tuple[Samples, Samples]:
    contenders = {"a": machine.contender("a", truth * work_ms), "b": machine.contender("b", work_ms)}
    samples = machine.race(contenders, **options)
    return samples["a"], samples["b"]


@pytest.mark.parametrize(
    ("bursts", "truth"), [("now and then", 2.0), ("for 3 parts in 10", 1.0), ("mostly", 2.0)]
)
def test_the_interval_holds_the_truth_and_the_median_is_not_biased(bursts: str, truth: float) -> None:
    found = [
        ratio(
            *pair(Machine(seed, *BURSTS[bursts]), truth, 5.0, seed=seed),
            seed=seed,
            resamples=100,
            resolution=0.0,
        )
        for seed in range(RACES)
    ]
    assert sum(r.low <= truth <= r.high for r in found) >= FEWEST
    logs = np.log([r.median / truth for r in found])
    assert abs(np.median(logs)) < 0.005
    assert abs(logs.mean()) < 3.0 * logs.std() / RACES**0.5 + 0.005


@pytest.mark.parametrize("work_ms", [50.0, 150.0])
def test_to_reject_does_not_favour_the_shorter_where_its_turns_fit_the_pauses_better(work_ms: float) -> None:
    truth, held = 2.0, 0
    for seed in range(60):
        found = ratio(
            *pair(Machine(seed, *BURSTS["mostly"]), truth, work_ms, seed=seed), resamples=200, resolution=0.0
        )
        held += found.low <= truth <= found.high
    assert held >= 52  # of 60: 57 less three standard deviations


def test_rejection_makes_the_interval_narrower() -> None:
    def width(seed: int, patience: float, canary: bool) -> float:
        machine = Machine(seed, *BURSTS["for 3 parts in 10"])
        watched: dict[str, Any] = {} if canary else {"canary": False, "taken": lambda: Taken(0)}
        found = ratio(
            *pair(machine, 1.0, 50.0, seed=seed, patience=patience, **watched), resamples=200, resolution=0.0
        )
        return found.high / found.low

    with_it = np.median([width(seed, 1.0, True) for seed in range(40)])
    without = np.median([width(seed, 0.0, False) for seed in range(40)])
    assert with_it - 1.0 < 0.5 * (without - 1.0)


def test_drift_cancels() -> None:
    machine = Machine(0)
    calls = {
        name: lambda name=name, work_ms=work_ms: machine.work(work_ms * (1.0 + machine.now_ms / 1000.0))
        for name, work_ms in (("a", 4.0), ("b", 2.0))
    }
    samples = machine.race(calls, rounds=30)  # type: ignore[arg-type]
    found = ratio(samples["a"], samples["b"], resolution=0.0)
    assert samples["a"].round_medians_ms[-1] > 1.3 * samples["a"].round_medians_ms[0]
    assert found.low <= 2.0 <= found.high
    assert found.high - found.low < 0.1


@pytest.mark.parametrize("teller", ["canary", "switches", "waiting"])
def test_a_spike_on_one_turn_is_caught_by_each_alone(teller: str) -> None:
    machine = Machine(0)
    turns = 0
    spiked = False

    def call() -> None:
        nonlocal turns, spiked
        turns += 1
        spiked = turns in (7, 8)  # one turn, with the call that leads it in
        machine.work(50.0 if spiked else 5.0)

    def canary() -> float:
        return 4.0 if spiked and teller == "canary" else 0.4

    lost = {"switches": Taken(40), "waiting": Taken(0, 40.0)}.get(teller, Taken(0))

    def taken() -> Taken:
        return lost if turns >= 8 else Taken(0)

    samples = machine.race({"a": call}, rounds=6, canary=canary, taken=taken)["a"]
    assert samples.rejected == (0, 0, 0, 1, 0, 0)
    assert samples.disturbed == (False,) * 6
    assert samples.values.max() == pytest.approx(5.0)
    assert samples.first_medians_ms[3] == pytest.approx(50.0)


def test_a_machine_that_is_never_calm_costs_twice_the_time_at_most_and_is_marked() -> None:
    def last(patience: float) -> tuple[float, Samples]:
        machine = Machine(0)
        looks = cycle([0.4, 9.0, 9.0])  # never calm twice in a row
        samples = machine.race(
            {"a": machine.contender("a", 5.0), "b": machine.contender("b", 10.0)},
            rounds=50,
            canary=lambda: (machine.work(1.0), next(looks))[1],
            patience=patience,
        )
        return machine.now_ms, samples["a"]

    (bounded_ms, tried), (needed_ms, marked) = last(1.0), last(0.0)
    assert 1.5 * needed_ms < bounded_ms < 2.1 * needed_ms
    assert sum(tried.disturbed) > 40 < sum(marked.disturbed)
    assert sum(tried.rejected) > 0 == sum(marked.rejected)
    assert max(tried.rejected) <= 3


def test_of_attempts_that_stay_disturbed_the_least_disturbed_is_kept() -> None:
    machine = Machine(0)
    works_ms = iter([5.0] * 6 + [7.0, 7.0, 6.0, 6.0, 8.0, 8.0, 9.0, 9.0])
    # A turn asks twice, before and after: the fourth loses 4, 2, 3 and 5 ms at its attempts.
    lost = iter([0.0] * 6 + [0.0, 4.0, 4.0, 6.0, 6.0, 9.0, 9.0, 14.0])
    samples = machine.race(
        {"a": lambda: (machine.work(next(works_ms)), None)[1]},
        rounds=4,
        canary=False,
        patience=100.0,
        taken=lambda: Taken(0, next(lost)),
    )["a"]
    assert samples.rejected == (0, 0, 0, 3)
    assert samples.disturbed == (False, False, False, True)
    assert samples.round_medians_ms.tolist() == pytest.approx([5.0, 5.0, 5.0, 6.0])
    assert samples.first_medians_ms[3] == pytest.approx(7.0)


def test_rounds_stay_paired_when_turns_are_run_again() -> None:
    a, b = pair(Machine(3, *BURSTS["for 3 parts in 10"]), 2.0, 20.0, rounds=25)
    assert len(a.rounds_ms) == len(b.rounds_ms) == len(a.rejected) == len(b.disturbed) == 25
    assert sum(a.rejected) + sum(b.rejected) > 0


def test_a_turn_waits_for_a_burst_to_end() -> None:
    machine = Machine(0)
    looks = iter([0.4] * 6 + [4.0, 4.0, 4.0, 0.4, 0.4, 0.4, 0.4])
    samples = machine.race({"a": machine.contender("a", 20.0)}, rounds=8, canary=lambda: next(looks))["a"]
    # The turn before the burst counts as disturbed and is run again, after it.
    assert samples.rejected == (0, 0, 0, 0, 0, 0, 1, 0)
    assert len(machine.calls) == 2 * 9


def test_long_calls_are_not_led_in() -> None:
    machine = Machine(0)
    machine.race(
        {"long": machine.contender("long", 300.0), "short": machine.contender("short", 100.0)}, rounds=3
    )
    # How long a call takes is not known before the first.
    assert (machine.calls.count("long"), machine.calls.count("short")) == (1 + 3, 3 + 3)


def test_a_contender_that_always_loses_its_core_is_not_held_for_disturbed() -> None:
    machine = Machine(0)
    samples = machine.race(
        {"a": machine.contender("a", 5.0)}, rounds=10, canary=False, taken=lambda: Taken(int(machine.now_ms))
    )["a"]
    assert sum(samples.disturbed) == sum(samples.rejected) == 0
    assert min(samples.interruptions) > 2


def test_ratio_leaves_out_disturbed_rounds_where_enough_are_left() -> None:
    own, other = [2.0] * 6 + [9.0] * 3, [1.0] * 9
    marked = Samples(tuple(map(np.atleast_1d, own)), disturbed=(False,) * 6 + (True,) * 3)
    plain = Samples(tuple(map(np.atleast_1d, other)))
    found = ratio(marked, plain, resolution=0.0)
    assert (found.low, found.high) == (2.0, 2.0)
    fewer = Samples(marked.rounds_ms[1:], disturbed=marked.disturbed[1:])
    assert ratio(fewer, Samples(plain.rounds_ms[1:]), resolution=0.0).high == 9.0
