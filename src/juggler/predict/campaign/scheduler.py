"""What a campaign measures next, block by block, and what came of it; who measures is left to the caller.

A campaign on this machine takes one block after the other; a fleet has several out at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from juggler.nouns import Progress, ReportProgress
from juggler.predict.campaign.block import ATTEMPTS, BlockSamples
from juggler.predict.campaign.options import CampaignOptions, Chooser
from juggler.predict.campaign.outcome import Campaign, Outcome
from juggler.predict.campaign.sampling import CAP_MS, LONG_MS, Draw, Space
from juggler.predict.campaign.store.measurements import MeasurementLog, plan_of
from juggler.predict.campaign.store.samples import Store
from juggler.predict.kernels.probes import RoughRoofline, probes
from juggler.predict.kernels.sample import AT_RANDOM
from juggler.predict.kernels.spec import KernelSpec

STAGE = "measure kernels"
POOL_PLACE = 10_000_000  # of its first draw, far from those at random
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


class Scheduler:
    """Says what a campaign measures next, from where it is, and keeps what was measured.

    Args:
        store: where samples go.
        campaign: that is run.
        options: how far it goes.
        adapt: gives the kernel nearest to a drawn one that the backend can make.
        memory_bytes: of the machine.
        chooser: is given kernels and the samples so far, and returns the places of those to measure next.
        progress: called with seconds, or samples, done and in all.
    """

    def __init__(
        self,
        store: Store,
        campaign: Campaign,
        options: CampaignOptions,
        adapt: Callable[[KernelSpec], KernelSpec],
        memory_bytes: int,
        *,
        chooser: Chooser | None = None,
        progress: ReportProgress | None = None,
    ) -> None:
        self._store, self._campaign, self._options, self._adapt = store, campaign, options, adapt
        self._chooser, self._progress = chooser, progress
        self._memory_bytes = min(MOST_MEMORY_BYTES, int(MEMORY_SHARE * memory_bytes))
        self._log = MeasurementLog(store, campaign.name)
        self._done = self._log.done()  # and what was given out
        self._samples = store.samples(campaign=campaign.name)
        self._pending: list[Block] = []
        self._block_count = self._redone = self._new = 0
        self._stopped = False

    def blocks(self) -> Iterator[Block | None]:
        """Yield blocks: probes, draws, some of them again.

        Each goes back through `record`; several may be out at once. None says that one must come back first.
        """
        self._report_progress()
        cap_ms = self._campaign.cap_ms
        yield from self._all_of(
            [Draw(self._adapt(spec), "probe") for spec in self._options.probes or probes(cap_ms)]
        )
        if self._stopped or not self._has("probe"):
            return
        roof = RoughRoofline.of([sample for sample in self._samples if sample.sampled_by == "probe"])
        families, long_ms = self._campaign.families, cap_ms * LONG_MS / CAP_MS
        space = Space(roof, families, self._memory_bytes, cap_ms, long_ms)
        at_random = self._undone(space.draw(self._campaign.seed))
        while not self._stopped and ((size := self._room()) > 0 or self._pending):
            if size > 0:
                chosen = self._chosen(space, size) if self._wants_choice() else None
                yield self._block(chosen or list(islice(at_random, size)))
            else:
                yield None
        if not self._stopped:
            yield from self._all_of(self._again())

    def record(self, block: Block, measured: BlockSamples) -> None:
        """Keep what a block gave.

        Raises:
            StoreError: it cannot be written; what came before is kept.
        """
        self._redone += measured.redone
        for sample in measured.samples:
            self._new += self._store.add(sample, self._campaign.name)
        self._samples.extend(measured.samples)
        self._stopped = self._stopped or measured.stopped
        self._pending.remove(block)
        self._report_progress()

    def outcome(self) -> Outcome:
        """Return what there is now."""
        return Outcome(
            campaign=self._campaign.name,
            samples=len(self._samples),
            new=self._new,
            unfit=self._log.unfit(),
            redone=self._redone,
            seconds=self._log.spent().seconds,
            floors=self._store.floors(self._campaign.machine),
            stopped=self._stopped,
        )

    def _all_of(self, draws: Sequence[Draw]) -> Iterator[Block | None]:
        """Yield all blocks of what is not done, and wait until they are back."""
        waiting = [draw for draw in draws if self._is_new(draw)]
        size = self._options.block_size
        for start in range(0, len(waiting), size):
            if not self._stopped:
                yield self._block(waiting[start : start + size])
        while self._pending and not self._stopped:
            yield None

    def _block(self, draws: Sequence[Draw]) -> Block:
        """Give kernels out; they are not drawn again."""
        block = Block(tuple(draws), self._campaign.seed + self._block_count, self._attempts())
        self._block_count += 1
        self._done |= {(plan_of(draw.spec), draw.sampled_by) for draw in draws}
        self._pending.append(block)
        return block

    def _attempts(self) -> int:
        """Return how often the next block may be measured: a restless machine must not take all the time."""
        return ATTEMPTS if self._redone <= REDONE_SHARE * (self._block_count + 1) else 1

    def _undone(self, draws: Iterator[Draw]) -> Iterator[Draw]:
        adapted = (replace(draw, spec=self._adapt(draw.spec)) for draw in draws)
        return (draw for draw in adapted if self._is_new(draw))

    def _room(self) -> int:
        """Return how many kernels the next block has; none where time or samples are used up."""
        options, spent_s, count = self._options, self._log.spent().seconds, self._count()
        each_s = spent_s / count if count >= options.block_size else SAMPLE_S
        planned = count + sum(len(block.draws) for block in self._pending)
        if spent_s + each_s * options.retest >= options.most_seconds or planned >= options.most_samples:
            return 0
        return int(min(options.block_size, options.most_samples - planned))

    def _wants_choice(self) -> bool:
        """Say whether the next block is chosen: never more of them than of draws at random."""
        origins = [sample.sampled_by for sample in self._samples]
        origins += [draw.sampled_by for block in self._pending for draw in block.draws]
        at_random, active = sum(how in AT_RANDOM for how in origins), origins.count("active")
        if self._chooser is None or at_random < self._options.first_choice:
            return False
        return active + self._options.block_size <= at_random

    def _chosen(self, space: Space, size: int) -> list[Draw]:
        """Return what the chooser takes from a pool of draws that is new each time."""
        if self._chooser is None:
            return []
        pool_size = self._options.pool_size
        place = POOL_PLACE + pool_size * (len(self._samples) + len(self._pending))
        pool = [self._adapt(draw.spec) for draw in islice(space.draw(self._campaign.seed, place), pool_size)]
        picks = [pool[index] for index in list(self._chooser(pool, self._samples))[:size]]
        return [draw for draw in (Draw(spec, "active") for spec in picks) if self._is_new(draw)]

    def _is_new(self, draw: Draw) -> bool:
        return (plan_of(draw.spec), draw.sampled_by) not in self._done

    def _again(self) -> list[Draw]:
        """Return kernels of the first part to measure again, drawn by the seed, as late as can be."""
        retest = self._options.retest
        at_random = [sample for sample in self._samples if sample.sampled_by in AT_RANDOM]
        early = at_random[: max(retest, len(at_random) // 2)]
        order = np.random.default_rng(self._campaign.seed).permutation(len(early))[:retest]
        return [Draw(early[index].spec, "retest") for index in order]

    def _has(self, origin: str) -> bool:
        return any(sample.sampled_by == origin for sample in self._samples)

    def _count(self) -> int:
        return sum(sample.sampled_by not in ("probe", "retest") for sample in self._samples)

    def _report_progress(self) -> None:
        if self._progress is None:
            return
        options = self._options
        if options.minutes is not None:
            seconds = options.most_seconds
            spent_s = self._log.spent().seconds
            self._progress(Progress(STAGE, min(spent_s, seconds), seconds, "seconds"))
        else:
            again = sum(sample.sampled_by == "retest" for sample in self._samples)
            done, total = self._count() + again, options.most_samples + options.retest
            self._progress(Progress(STAGE, done, total, "samples"))
