"""A campaign over many machines: one worker a device, all samples in one database that the driver keeps.

Machines of one record are one device: their workers share one campaign, the same that a run on one of them
would be. Others have campaigns of their own. Blocks are given to whoever is free; each turn is on disk
before the next begins, so a worker that dies takes only the turn with it that it was in. Its block goes to
another of the same record, which takes what is left of it; where there is none, the same call goes on later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

from juggler.nouns import Progress, ReportProgress
from juggler.predict.campaign.block import BlockSamples, MeasurementSetup, measure_block
from juggler.predict.campaign.fleet.cluster import Lost, Member, open_fleet
from juggler.predict.campaign.options import CampaignOptions, Chooser, as_options
from juggler.predict.campaign.outcome import Campaign, FleetOutcome
from juggler.predict.campaign.run import add_campaign
from juggler.predict.campaign.scheduler import Block, Scheduler
from juggler.predict.campaign.store.measurements import MeasurementLog
from juggler.predict.campaign.store.samples import Store, machine_digest
from juggler.predict.campaign.timing import PROFILERS
from juggler.runtime.session import BACKENDS
from juggler.stopping import StopRequest

LOOK_S = 0.5  # how often the driver looks whether it is to stop
Out = dict[Future[BlockSamples], tuple["Crew", Member, Block]]


def run_fleet(
    store: Store,
    fleet: str,
    options: CampaignOptions | str | None = None,
    *,
    chooser: Chooser | None = None,
    progress: ReportProgress | None = None,
    **keywords: Any,
) -> FleetOutcome:
    """Measure kernels on all machines of a fleet; go on where an earlier run stopped.

    Each kind of machine has the campaign that `juggler.predict.campaign.run.run_campaign` would have there
    with the same options.

    Args:
        store: where samples go; only this process writes to it.
        fleet: `local:N` for N workers on this machine, or the address of a Ray cluster, `HOST:PORT`.
        options: what is measured, and how long.
        chooser: is given kernels and the samples so far, and returns the places of those to measure next.
        progress: called with seconds, or samples, done and in all, of all kinds together.
        keywords: fields of the options, as the last release took them.

    Raises:
        ConfigError: no such backend or fleet.
        Unavailable: ray is not installed, the cluster does not answer, or no worker can work.
        StoreError: samples cannot be written; those so far are kept.
    """
    options = as_options(options, keywords)
    BACKENDS.get(options.backend)
    profiler = PROFILERS.get(options.backend)
    with open_fleet(fleet, options.backend, options.threads) as members_of_fleet, StopRequest() as stop:
        kinds: dict[str, list[Member]] = {}
        for member in members_of_fleet.members:
            kinds.setdefault(machine_digest(member.machine), []).append(member)
        total = _TotalProgress(progress)
        crews = []
        for digest, members in kinds.items():
            campaign = add_campaign(store, members[0].machine, options, active=chooser is not None)
            memory_bytes = min(member.memory_bytes for member in members)
            scheduler = Scheduler(
                store,
                campaign,
                options,
                profiler.adapt,
                memory_bytes,
                chooser=chooser,
                progress=total.of(digest),
            )
            crews.append(Crew(campaign, scheduler, deque(members), scheduler.blocks()))
        lost = _measure_all(crews, store, len(members_of_fleet.members), lambda: stop.requested)
        return FleetOutcome(
            outcomes=tuple(crew.scheduler.outcome() for crew in crews),
            workers=len(members_of_fleet.members),
            lost=(*members_of_fleet.absent, *lost),
            unfinished=tuple(crew.campaign.name for crew in crews if crew.given_back and not crew.free),
            stopped=stop.requested,
        )


@dataclass
class Crew:
    """The workers of one kind of machine, and what they measure; used by the driver's own thread only."""

    campaign: Campaign
    scheduler: Scheduler
    free: deque[Member]
    blocks: Iterator[Block | None]
    given_back: list[Block] = field(default_factory=list)

    def next(self) -> Block | None:
        """Return what a free worker is to measure; None where there is nothing, or not yet."""
        return self.given_back.pop() if self.given_back else next(self.blocks, None)


class _TotalProgress:
    """Adds up what is done of all kinds."""

    def __init__(self, report: ReportProgress | None) -> None:
        self._report = report
        self._by_kind: dict[str, Progress] = {}

    def of(self, kind: str) -> ReportProgress:
        """Return what one kind reports to."""

        def add(progress: Progress) -> None:
            self._by_kind[kind] = progress
            if self._report is not None:
                done = sum(each.done for each in self._by_kind.values())
                total = sum(each.total or 0.0 for each in self._by_kind.values())
                self._report(replace(progress, done=done, total=total))

        return add


def _measure_all(crews: list[Crew], store: Store, workers: int, stop: Callable[[], bool]) -> list[str]:
    """Keep all workers busy until there is nothing left to measure; return who was lost."""
    lost: list[str] = []
    out: Out = {}
    failed = False
    with ThreadPoolExecutor(workers, thread_name_prefix="fleet") as pool:
        try:
            _give_out(crews, out, pool, store, lambda: failed or stop())
            while out:
                for future in wait(out, LOOK_S, FIRST_COMPLETED).done:
                    crew, member, block = out.pop(future)
                    try:
                        crew.scheduler.record(block, future.result())
                        crew.free.append(member)
                    except Lost as error:
                        crew.given_back.append(block)
                        lost.append(f"{member.name}: {error.found}")
                if not stop():
                    _give_out(crews, out, pool, store, lambda: failed or stop())
        finally:
            failed = True  # whatever ended this loop ends the turns of all
    return lost


def _give_out(
    crews: list[Crew], out: Out, pool: ThreadPoolExecutor, store: Store, stop: Callable[[], bool]
) -> None:
    """Give each free worker a block, as far as there are any."""
    for crew in crews:
        while crew.free and (block := crew.next()) is not None:
            member = crew.free.popleft()
            out[pool.submit(_measured, block, member, crew.campaign, store, stop)] = (crew, member, block)


def _measured(
    block: Block, member: Member, campaign: Campaign, store: Store, stop: Callable[[], bool]
) -> BlockSamples:
    """Measure a block on a worker; turns are written by a connection of this thread's own.

    Raises:
        Lost: the worker is gone; the turns that it had are kept.
    """
    setup = MeasurementSetup(campaign.backend, campaign.threads, campaign.machine)
    with Store.open(store.path) as connection:
        return measure_block(
            block.draws,
            member,
            MeasurementLog(connection, campaign.name),
            setup,
            seed=block.seed,
            rounds=campaign.rounds,
            attempts=block.attempts,
            stop=stop,
        )
