"""What a campaign measures next, block by block, and what came of it; who measures is left to the caller.

A campaign on this machine takes one block after the other; a fleet has several out at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from juggler.errors import ConfigError
from juggler.predict.campaign.block import ATTEMPTS, BLOCK, Measured
from juggler.predict.campaign.outcome import Campaign, Outcome
from juggler.predict.campaign.sampling import CAP_MS, LONG_MS, Draw, Space
from juggler.predict.campaign.store.measurements import Ledger, plan_of
from juggler.predict.campaign.store.samples import Store
from juggler.predict.kernels.probes import Roof, probes
from juggler.predict.kernels.sample import AT_RANDOM, Sample
from juggler.predict.kernels.spec import KernelSpec

Chooser = Callable[[Sequence[KernelSpec], Sequence[Sample]], Sequence[int]]
Progress = Callable[[float, float], None]

POOL = 1500  # draws that a chooser is shown
POOL_PLACE = 10_000_000  # of its first draw, far from those at random
FIRST_CHOICE = 100  # samples before a chooser is asked
MEMORY_SHARE = 0.25  # of the machine's, for one kernel
MOST_MEMORY_BYTES = 4 << 30
REDONE_SHARE = 0.3  # of blocks, that may be measured again
SAMPLE_S = 0.4  # what a sample takes before any was taken, in seconds


@dataclass(frozen=True)
class Block:
    """Kernels to measure together, the seed of their orders, and how often they may be measured."""

    draws: tuple[Draw, ...]
    seed: int
    attempts: int


@dataclass(frozen=True)
class Limits:
    """How far a campaign goes, who chooses, and whom it tells.

    Attributes:
        seconds: under measurement, in all.
        samples: of kernels, probes and second measurements not counted.
        retest: how many kernels are measured again at the end.
        chooser: is given kernels and the samples so far, and returns the places of those to measure next.
        progress: called with seconds, or samples, done and in all.
    """

    seconds: float
    samples: float
    retest: int
    chooser: Chooser | None
    progress: Progress | None

    @classmethod
    def of(
        cls,
        minutes: float | None,
        samples: int | None,
        retest: int,
        chooser: Chooser | None,
        progress: Progress | None,
    ) -> Limits:
        """Return the limits that a call asks for.

        Raises:
            ConfigError: neither minutes nor samples, or a number out of range.
        """
        if minutes is None and samples is None:
            raise ConfigError("run a campaign", "neither minutes nor samples", "Say how long, or how many")
        check_numbers(minutes=minutes, samples=samples, retest=retest)
        seconds = math.inf if minutes is None else 60.0 * minutes
        return cls(seconds, math.inf if samples is None else samples, retest, chooser, progress)


class Planner:
    """Says what a campaign measures next, from where it is, and keeps what was measured.

    Args:
        store: where samples go.
        campaign: that is run.
        limits: how far.
        adapt: gives the kernel nearest to a drawn one that the backend can make.
        memory_bytes: of the machine.
    """

    def __init__(
        self,
        store: Store,
        campaign: Campaign,
        limits: Limits,
        adapt: Callable[[KernelSpec], KernelSpec],
        memory_bytes: int,
    ) -> None:
        self._store, self._campaign, self._limits, self._adapt = store, campaign, limits, adapt
        self._memory_bytes = min(MOST_MEMORY_BYTES, int(MEMORY_SHARE * memory_bytes))
        self._ledger = Ledger(store, campaign.name)
        self._done = self._ledger.done()  # and what was given out
        self._had = store.samples(campaign=campaign.name)
        self._out: list[Block] = []
        self._given = self._redone = self._new = 0
        self._stopped = False

    def blocks(self) -> Iterator[Block | None]:
        """Yield blocks: probes, draws, some of them again.

        Each goes back through `took`; several may be out at once. None says that one must come back first.
        """
        self._tell()
        cap_ms = self._campaign.cap_ms
        yield from self._all_of([Draw(self._adapt(spec), "probe") for spec in probes(cap_ms)])
        if self._stopped or not self._has("probe"):
            return
        roof = Roof.of([sample for sample in self._had if sample.drawn == "probe"])
        families, long_ms = self._campaign.families, cap_ms * LONG_MS / CAP_MS
        space = Space(roof, families, self._memory_bytes, cap_ms, long_ms)
        at_random = self._undone(space.draw(self._campaign.seed))
        while not self._stopped and ((size := self._room()) > 0 or self._out):
            if size > 0:
                chosen = self._chosen(space, size) if self._wants_choice() else None
                yield self._block(chosen or list(islice(at_random, size)))
            else:
                yield None
        if not self._stopped:
            yield from self._all_of(self._again())

    def took(self, block: Block, measured: Measured) -> None:
        """Keep what a block gave.

        Raises:
            StoreError: it cannot be written; what came before is kept.
        """
        self._redone += measured.redone
        for sample in measured.samples:
            self._new += self._store.add(sample, self._campaign.name)
        self._had.extend(measured.samples)
        self._stopped = self._stopped or measured.stopped
        self._out.remove(block)
        self._tell()

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

    def _all_of(self, draws: Sequence[Draw]) -> Iterator[Block | None]:
        """Yield all blocks of what is not done, and wait until they are back."""
        waiting = [draw for draw in draws if self._is_new(draw)]
        for start in range(0, len(waiting), BLOCK):
            if not self._stopped:
                yield self._block(waiting[start : start + BLOCK])
        while self._out and not self._stopped:
            yield None

    def _block(self, draws: Sequence[Draw]) -> Block:
        """Give kernels out; they are not drawn again."""
        block = Block(tuple(draws), self._campaign.seed + self._given, self._attempts())
        self._given += 1
        self._done |= {(plan_of(draw.spec), draw.drawn) for draw in draws}
        self._out.append(block)
        return block

    def _attempts(self) -> int:
        """Return how often the next block may be measured: a restless machine must not take all the time."""
        return ATTEMPTS if self._redone <= REDONE_SHARE * (self._given + 1) else 1

    def _undone(self, draws: Iterator[Draw]) -> Iterator[Draw]:
        adapted = (replace(draw, spec=self._adapt(draw.spec)) for draw in draws)
        return (draw for draw in adapted if self._is_new(draw))

    def _room(self) -> int:
        """Return how many kernels the next block has; none where time or samples are used up."""
        spent_s, own = self._ledger.spent().seconds, self._count()
        each_s = spent_s / own if own >= BLOCK else SAMPLE_S
        planned = own + sum(len(block.draws) for block in self._out)
        limits = self._limits
        if spent_s + each_s * limits.retest >= limits.seconds or planned >= limits.samples:
            return 0
        return int(min(BLOCK, limits.samples - planned))

    def _wants_choice(self) -> bool:
        """Say whether the next block is chosen: never more of them than of draws at random."""
        drawn = [sample.drawn for sample in self._had]
        drawn += [draw.drawn for block in self._out for draw in block.draws]
        at_random, active = sum(how in AT_RANDOM for how in drawn), drawn.count("active")
        return self._limits.chooser is not None and at_random >= FIRST_CHOICE and active + BLOCK <= at_random

    def _chosen(self, space: Space, size: int) -> list[Draw]:
        """Return what the chooser takes from a pool of draws that is new each time."""
        chooser = self._limits.chooser
        if chooser is None:
            return []
        place = POOL_PLACE + POOL * (len(self._had) + len(self._out))
        pool = [self._adapt(draw.spec) for draw in islice(space.draw(self._campaign.seed, place), POOL)]
        picks = [pool[index] for index in list(chooser(pool, self._had))[:size]]
        return [draw for draw in (Draw(spec, "active") for spec in picks) if self._is_new(draw)]

    def _is_new(self, draw: Draw) -> bool:
        return (plan_of(draw.spec), draw.drawn) not in self._done

    def _again(self) -> list[Draw]:
        """Return kernels of the first part to measure again, drawn by the seed, as late as can be."""
        retest, own = self._limits.retest, [sample for sample in self._had if sample.drawn in AT_RANDOM]
        early = own[: max(retest, len(own) // 2)]
        order = np.random.default_rng(self._campaign.seed).permutation(len(early))[:retest]
        return [Draw(early[index].spec, "retest") for index in order]

    def _has(self, drawn: str) -> bool:
        return any(sample.drawn == drawn for sample in self._had)

    def _count(self) -> int:
        return sum(sample.drawn not in ("probe", "retest") for sample in self._had)

    def _tell(self) -> None:
        limits = self._limits
        if limits.progress is None:
            return
        if math.isfinite(limits.seconds):
            limits.progress(min(self._ledger.spent().seconds, limits.seconds), limits.seconds)
        else:
            again = sum(sample.drawn == "retest" for sample in self._had)
            limits.progress(self._count() + again, limits.samples + limits.retest)


def check_numbers(**given: float | None) -> None:
    """Refuse numbers that no campaign can be run with; None stands for one that was not given.

    Raises:
        ConfigError: a number that is not finite or too small.
    """
    least = {"minutes": 1e-3, "samples": 1, "retest": 0, "cap_ms": 1e-3}
    wrong = [
        f"{name} {value}"
        for name, value in given.items()
        if value is not None and not (math.isfinite(value) and value >= least.get(name, 1))
    ]
    if wrong:
        raise ConfigError("run a campaign", ", ".join(wrong), "Give more than 0 of each; retest may be 0")
