"""A campaign: a series of micro-benchmarks of kernels, kept as they come, resumed by the same call.

First a few kernels that are always the same give a rough roofline, which caps what is drawn; then blocks of
about 20 kernels are measured, drawn at random or, every other block where a chooser is given, chosen by it;
at the end some of the first are measured again, and their difference is the floor of every prediction.
Draws at random stay at least half, because intervals are calibrated and tested on those only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import psutil

from juggler.cost.canary import look_out
from juggler.cost.watch import Watch, taken_by_kernel
from juggler.errors import ConfigError
from juggler.predict.blocks import ATTEMPTS, BLOCK, ROUNDS, Where, measure_block
from juggler.predict.kernel import KernelSpec
from juggler.predict.ledger import Ledger, plan_of
from juggler.predict.outcome import Campaign, Outcome
from juggler.predict.phases import PHASERS, Turns
from juggler.predict.probes import Roof, probes
from juggler.predict.sample import AT_RANDOM, Sample
from juggler.predict.space import CAP_MS, LONG_MS, SHARES, Draw, Space, check_families
from juggler.predict.stopping import stop_asked
from juggler.predict.store import Store
from juggler.runtime.machine import machine
from juggler.runtime.open import require
from juggler.runtime.session import BACKENDS

Chooser = Callable[[Sequence[KernelSpec], Sequence[Sample]], Sequence[int]]
Progress = Callable[[float, float], None]

POOL = 1500  # draws that a chooser is shown
POOL_PLACE = 10_000_000  # of its first draw, far from those at random
FIRST_CHOICE = 100  # samples before a chooser is asked
RETEST = 0  # kernels measured again, unless asked for
MEMORY_SHARE = 0.25  # of the machine's, for one kernel
MOST_MEMORY_BYTES = 4 << 30
REDONE_SHARE = 0.3  # of blocks, that may be measured again
SAMPLE_S = 0.4  # what a sample takes before any was taken, in seconds


def run_campaign(
    store: Store,
    backend: str = "onnxruntime",
    *,
    minutes: float | None = None,
    samples: int | None = None,
    families: Mapping[str, float] | None = None,
    threads: int = 1,
    seed: int = 0,
    retest: int = RETEST,
    rounds: int = ROUNDS,
    cap_ms: float = CAP_MS,
    chooser: Chooser | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Measure kernels until so many minutes or samples are reached; go on where an earlier run stopped.

    A campaign is the same one where backend, threads, families, seed, rounds, cap, machine and the presence
    of a chooser are; minutes and samples count what it had before. SIGINT and SIGTERM end it between turns.

    Args:
        store: where samples go.
        backend: what runs the kernels.
        minutes: under measurement, all runs of the campaign together.
        samples: of kernels, probes and second measurements not counted.
        families: shares of the draws; None is `juggler.predict.space.SHARES`.
        threads: cores that a kernel may use.
        seed: of all draws and orders.
        retest: how many kernels are measured again at the end.
        rounds: turns of each kernel.
        cap_ms: longest kernel drawn, by the roofline, in milliseconds; a few are five times as long.
        chooser: is given kernels and the samples so far, and returns the places of those to measure next.
        progress: called with seconds, or samples, done and in all.

    Raises:
        ConfigError: neither minutes nor samples, a number out of range, or no such backend or family.
        Unavailable: the backend cannot work here.
        StoreError: samples cannot be written; those so far are kept.
    """
    _check(minutes, samples, threads=threads, retest=retest, rounds=rounds, cap_ms=cap_ms)
    shares = dict(SHARES if families is None else families)
    check_families(shares)
    require(BACKENDS.get(backend))
    phaser = PHASERS.get(backend)
    digest = store.add_machine(machine())
    campaign = Campaign(backend, threads, shares, seed, chooser is not None, digest, rounds, cap_ms)
    store.add_campaign(campaign.name, campaign.to_dict(), digest)
    with look_out(True) as canary, stop_asked() as stop:
        turns = Turns(phaser, threads, Watch(canary, taken_by_kernel))
        seconds = math.inf if minutes is None else 60.0 * minutes
        most = math.inf if samples is None else samples
        limits = _Limits(seconds, most, retest, chooser, progress)
        run = _Run(store, campaign, turns, limits, stop=stop)
        run.go()
    return run.outcome()


@dataclass(frozen=True)
class _Limits:
    """How far a run goes, who chooses, and whom it tells."""

    seconds: float
    samples: float
    retest: int
    chooser: Chooser | None
    progress: Progress | None


class _Run:
    """One run of a campaign, from where it is."""

    def __init__(
        self, store: Store, campaign: Campaign, turns: Turns, limits: _Limits, *, stop: Callable[[], bool]
    ) -> None:
        self._store, self._campaign, self._turns, self._stop = store, campaign, turns, stop
        self._seconds, self._samples, self._retest = limits.seconds, limits.samples, limits.retest
        self._chooser, self._progress = limits.chooser, limits.progress
        self._ledger = Ledger(store, campaign.name)
        self._where = Where(campaign.backend, campaign.threads, campaign.machine)
        self._done = self._ledger.done()
        self._had = store.samples(campaign=campaign.name)
        self._blocks = self._redone = 0
        self._new, self._stopped = 0, False

    def go(self) -> None:
        """Measure probes, then draws, then some of them again."""
        self._tell()
        self._measure([Draw(self._turns.adapt(spec), "probe") for spec in probes(self._campaign.cap_ms)])
        if self._stopped or not self._has("probe"):
            return
        roof = Roof.of([sample for sample in self._had if sample.drawn == "probe"])
        cap_ms = self._campaign.cap_ms
        memory = min(MOST_MEMORY_BYTES, int(MEMORY_SHARE * psutil.virtual_memory().total))
        space = Space(roof, self._campaign.families, memory, cap_ms, cap_ms * LONG_MS / CAP_MS)
        at_random = self._undone(space.draw(self._campaign.seed))
        while not self._stopped and (size := self._room()) > 0:
            chosen = self._chosen(space, size) if self._wants_choice() else None
            self._measure(chosen or list(islice(at_random, size)))
        if not self._stopped:
            self._measure_again()

    def outcome(self) -> Outcome:
        """Return what there is now."""
        return Outcome(
            campaign=self._campaign.name,
            samples=len(self._had),
            new=self._new,
            unfit=self._ledger.unfit(),
            redone=self._redone,
            seconds=self._ledger.spent().seconds,
            floors=self._store.floors(self._campaign.machine),
            stopped=self._stopped,
        )

    def _measure(self, draws: Sequence[Draw]) -> None:
        """Measure draws that are not done, block by block."""
        waiting = [draw for draw in draws if self._is_new(draw)]
        for start in range(0, len(waiting), BLOCK):
            block = waiting[start : start + BLOCK]
            measured = measure_block(
                block, self._turns, self._ledger, self._where, seed=self._campaign.seed + self._blocks,
                rounds=self._campaign.rounds, stop=self._stop, attempts=self._attempts(),
            )  # fmt: skip
            self._blocks += 1
            self._redone += measured.redone
            for sample in measured.samples:
                self._new += self._store.add(sample, self._campaign.name)
            self._had.extend(measured.samples)
            self._done |= {(plan_of(draw.spec), draw.drawn) for draw in block if not measured.stopped}
            self._tell()
            if measured.stopped:
                self._stopped = True
                return

    def _attempts(self) -> int:
        """Return how often the next block may be measured: a restless machine must not take all the time."""
        return ATTEMPTS if self._redone <= REDONE_SHARE * (self._blocks + 1) else 1

    def _undone(self, draws: Iterator[Draw]) -> Iterator[Draw]:
        adapted = (replace(draw, spec=self._turns.adapt(draw.spec)) for draw in draws)
        return (draw for draw in adapted if self._is_new(draw))

    def _room(self) -> int:
        """Return how many kernels the next block has; none where time or samples are used up."""
        spent_s, own = self._ledger.spent().seconds, self._count()
        each_s = spent_s / own if own >= BLOCK else SAMPLE_S
        if spent_s + each_s * self._retest >= self._seconds or own >= self._samples:
            return 0
        return int(min(BLOCK, self._samples - own))

    def _wants_choice(self) -> bool:
        """Say whether the next block is chosen: never more of them than of draws at random."""
        at_random = sum(sample.drawn in AT_RANDOM for sample in self._had)
        active = sum(sample.drawn == "active" for sample in self._had)
        return self._chooser is not None and at_random >= FIRST_CHOICE and active + BLOCK <= at_random

    def _chosen(self, space: Space, size: int) -> list[Draw]:
        """Return what the chooser takes from a pool of draws that is new each time."""
        chooser = self._chooser
        if chooser is None:
            return []
        place = POOL_PLACE + POOL * len(self._had)
        pool = [self._turns.adapt(draw.spec) for draw in islice(space.draw(self._campaign.seed, place), POOL)]
        picks = [pool[index] for index in list(chooser(pool, self._had))[:size]]
        return [draw for draw in (Draw(spec, "active") for spec in picks) if self._is_new(draw)]

    def _is_new(self, draw: Draw) -> bool:
        return (plan_of(draw.spec), draw.drawn) not in self._done

    def _measure_again(self) -> None:
        """Measure kernels of the first part again, drawn by the seed, as late as can be."""
        own = [sample for sample in self._had if sample.drawn in AT_RANDOM]
        early = own[: max(self._retest, len(own) // 2)]
        order = np.random.default_rng(self._campaign.seed).permutation(len(early))[: self._retest]
        self._measure([Draw(early[index].spec, "retest") for index in order])

    def _has(self, drawn: str) -> bool:
        return any(sample.drawn == drawn for sample in self._had)

    def _count(self) -> int:
        return sum(sample.drawn not in ("probe", "retest") for sample in self._had)

    def _tell(self) -> None:
        if self._progress is None:
            return
        if math.isfinite(self._seconds):
            self._progress(min(self._ledger.spent().seconds, self._seconds), self._seconds)
        else:
            again = sum(sample.drawn == "retest" for sample in self._had)
            self._progress(self._count() + again, self._samples + self._retest)


def _check(minutes: float | None, samples: int | None, **others: float) -> None:
    if minutes is None and samples is None:
        raise ConfigError("run a campaign", "neither minutes nor samples", "Say how long, or how many")
    least = {"minutes": 1e-3, "samples": 1, "retest": 0, "cap_ms": 1e-3}
    given = {"minutes": minutes, "samples": samples, **others}
    wrong = [
        f"{name} {value}"
        for name, value in given.items()
        if value is not None and not (math.isfinite(value) and value >= least.get(name, 1))
    ]
    if wrong:
        raise ConfigError("run a campaign", ", ".join(wrong), "Give more than 0 of each; retest may be 0")
