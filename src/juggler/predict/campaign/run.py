"""A campaign: a series of micro-benchmarks of kernels, kept as they come, resumed by the same call.

First a few kernels that are always the same give a rough roofline, which caps what is drawn; then blocks of
about 20 kernels are measured, drawn at random or, every other block where a chooser is given, chosen by it;
at the end some of the first are measured again, and their difference is the floor of every prediction.
Draws at random stay at least half, because intervals are calibrated and tested on those only.
"""

from __future__ import annotations

from typing import Any

import psutil

from juggler.clock.canary import look_out
from juggler.clock.interference import Watch, taken_by_kernel
from juggler.nouns import Machine, ReportProgress
from juggler.predict.campaign.block import MeasurementSetup, measure_block
from juggler.predict.campaign.options import CampaignOptions, Chooser, as_options
from juggler.predict.campaign.outcome import Campaign, Outcome
from juggler.predict.campaign.scheduler import Scheduler
from juggler.predict.campaign.store.measurements import MeasurementLog
from juggler.predict.campaign.store.samples import Store
from juggler.predict.campaign.timing import PROFILERS, LocalTimer
from juggler.runtime.machine import machine
from juggler.runtime.open import require
from juggler.runtime.session import BACKENDS
from juggler.stopping import StopRequest


def run_campaign(
    store: Store,
    options: CampaignOptions | str | None = None,
    *,
    chooser: Chooser | None = None,
    progress: ReportProgress | None = None,
    **keywords: Any,
) -> Outcome:
    """Measure kernels until so many minutes or samples are reached; go on where an earlier run stopped.

    SIGINT and SIGTERM end it between turns.

    Args:
        store: where samples go.
        options: what is measured, and how long.
        chooser: is given kernels and the samples so far, and returns the places of those to measure next.
        progress: called with seconds, or samples, done and in all.
        keywords: fields of the options, as the last release took them.

    Raises:
        ConfigError: no such backend.
        Unavailable: the backend cannot work here.
        StoreError: samples cannot be written; those so far are kept.
    """
    options = as_options(options, keywords)
    require(BACKENDS.get(options.backend))
    profiler = PROFILERS.get(options.backend)
    campaign = add_campaign(store, machine(), options, active=chooser is not None)
    memory_bytes = psutil.virtual_memory().total
    with look_out(True) as canary, StopRequest() as stop:
        turns = LocalTimer(profiler, options.threads, Watch(canary, taken_by_kernel))
        scheduler = Scheduler(
            store, campaign, options, profiler.adapt, memory_bytes, chooser=chooser, progress=progress
        )
        log = MeasurementLog(store, campaign.name)
        setup = MeasurementSetup(options.backend, options.threads, campaign.machine)
        for block in filter(None, scheduler.blocks()):
            measured = measure_block(
                block.draws,
                turns,
                log,
                setup,
                seed=block.seed,
                rounds=options.rounds,
                attempts=block.attempts,
                stop=lambda: stop.requested,
            )
            scheduler.record(block, measured)
    return scheduler.outcome()


def add_campaign(store: Store, record: Machine, options: CampaignOptions, *, active: bool) -> Campaign:
    """Put a campaign and the record of its machine into the store, where they are not there; return it."""
    digest = store.add_machine(record)
    campaign = Campaign(
        backend=options.backend,
        threads=options.threads,
        families=options.shares,
        seed=options.seed,
        active=active,
        machine=digest,
        rounds=options.rounds,
        cap_ms=options.cap_ms,
    )
    store.add_campaign(campaign.name, campaign.to_dict(), digest)
    return campaign
