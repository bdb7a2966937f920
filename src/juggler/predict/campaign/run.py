"""A campaign: a series of micro-benchmarks of kernels, kept as they come, resumed by the same call.

First a few kernels that are always the same give a rough roofline, which caps what is drawn; then blocks of
about 20 kernels are measured, drawn at random or, every other block where a chooser is given, chosen by it;
at the end some of the first are measured again, and their difference is the floor of every prediction.
Draws at random stay at least half, because intervals are calibrated and tested on those only.
"""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from juggler.clock.canary import look_out
from juggler.clock.interference import Watch, taken_by_kernel
from juggler.nouns import Machine
from juggler.predict.campaign.block import ROUNDS, Where, measure_block
from juggler.predict.campaign.outcome import Campaign, Outcome
from juggler.predict.campaign.sampling import CAP_MS, SHARES, check_families
from juggler.predict.campaign.scheduler import Chooser, Limits, Planner, Progress, check_numbers
from juggler.predict.campaign.stopping import stop_asked
from juggler.predict.campaign.store.measurements import Ledger
from juggler.predict.campaign.store.samples import Store
from juggler.predict.campaign.timing import PHASERS, Turns
from juggler.runtime.machine import machine
from juggler.runtime.open import require
from juggler.runtime.session import BACKENDS

RETEST = 0  # kernels measured again, unless asked for


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
        families: shares of the draws; None is `juggler.predict.campaign.sampling.SHARES`.
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
    limits = Limits.of(minutes, samples, retest, chooser, progress)
    check_campaign(families, threads=threads, rounds=rounds, cap_ms=cap_ms)
    require(BACKENDS.get(backend))
    phaser = PHASERS.get(backend)
    campaign = kept_campaign(
        store, machine(), backend, limits, families=families, threads=threads, seed=seed, rounds=rounds,
        cap_ms=cap_ms,
    )  # fmt: skip
    with look_out(True) as canary, stop_asked() as stop:
        turns = Turns(phaser, threads, Watch(canary, taken_by_kernel))
        planner = Planner(store, campaign, limits, phaser.adapt, psutil.virtual_memory().total)
        ledger, where = Ledger(store, campaign.name), Where(backend, threads, campaign.machine)
        for block in filter(None, planner.blocks()):
            measured = measure_block(
                block.draws, turns, ledger, where, seed=block.seed, rounds=rounds, stop=stop,
                attempts=block.attempts,
            )  # fmt: skip
            planner.took(block, measured)
    return planner.outcome()


def check_campaign(families: Mapping[str, float] | None, **numbers: float) -> None:
    """Refuse what no campaign can be run with.

    Raises:
        ConfigError: a number out of range, or no such family.
    """
    check_numbers(**numbers)
    check_families(SHARES if families is None else families)


def kept_campaign(
    store: Store,
    record: Machine,
    backend: str,
    limits: Limits,
    *,
    families: Mapping[str, float] | None,
    threads: int,
    seed: int,
    rounds: int,
    cap_ms: float,
) -> Campaign:
    """Keep a campaign and the record of its machine in the store, where they are not there; return it."""
    shares, digest = dict(SHARES if families is None else families), store.add_machine(record)
    active = limits.chooser is not None
    campaign = Campaign(backend, threads, shares, seed, active, digest, rounds, cap_ms)
    store.add_campaign(campaign.name, campaign.to_dict(), digest)
    return campaign
