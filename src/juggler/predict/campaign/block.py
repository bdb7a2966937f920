"""Measure about 20 kernels together: in turns, in an order drawn anew for each round, between two canaries.

The canary is a kernel that is always the same. Where it took more than 3 % longer or shorter after the block
than before, the machine has changed meanwhile, and the block is measured again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from juggler.predict.campaign.sampling import Draw
from juggler.predict.campaign.store.measurements import MeasurementLog
from juggler.predict.campaign.timing import RoundTiming, UnsupportedKernel
from juggler.predict.kernels.sample import Sample
from juggler.predict.kernels.spec import KernelSpec

# Shorter kernels may be timed by differences, which err either way: the least would be the most wrong.
SHORT_MS = 0.04
MOVED = 0.03
ATTEMPTS = 3  # at one block; a machine that never holds still is measured all the same
CANARY_TURNS = 3
CANARY = KernelSpec("conv", 1, 64, 64, 28, 28, kernel=(3, 3), pads=(1, 1, 1, 1), bias=True, activation="relu")


class KernelTimer(Protocol):
    """What times kernels: `LocalTimer` on this machine, or a worker of a fleet elsewhere."""

    def adapt(self, spec: KernelSpec) -> KernelSpec:
        """Return the kernel nearest to that which the backend can make."""
        ...

    def take(self, spec: KernelSpec) -> RoundTiming:
        """Time one kernel for one round.

        Raises:
            UnsupportedKernel: the runtime does not make this kernel.
        """
        ...


@dataclass(frozen=True)
class MeasurementSetup:
    """What all samples of a campaign have in common."""

    backend: str
    threads: int
    machine: str
    precision: str = "float32"


@dataclass(frozen=True)
class BlockSamples:
    """The samples of a block, and how often it was measured again; fewer than asked where it was stopped."""

    samples: tuple[Sample, ...]
    redone: int
    stopped: bool = False


def measure_block(
    draws: Sequence[Draw],
    turns: KernelTimer,
    log: MeasurementLog,
    setup: MeasurementSetup,
    *,
    seed: int,
    rounds: int,
    attempts: int = ATTEMPTS,
    stop: Callable[[], bool] = lambda: False,
) -> BlockSamples:
    """Measure kernels together and return their samples, in the order in which they were drawn.

    Turns that the log holds are not taken again. Nothing is returned of a block that was stopped: what it
    had is in the log.

    Args:
        draws: the kernels; those that the runtime does not make are noted in the log and left out.
        turns: takes them.
        log: of the campaign.
        setup: what all samples have in common.
        seed: draws the orders.
        rounds: turns of each kernel.
        attempts: how often the block may be measured, the first time included.
        stop: asked before every turn.
    """
    fit = list(dict.fromkeys(draws))
    had = {draw: log.turns(draw) for draw in fit}
    attempt = 0
    for attempt in range(attempts):
        before_ms = _canary_ms(turns)
        order = np.random.default_rng([seed, attempt])
        for number in range(rounds):
            for index in order.permutation(len(draws)):
                draw = draws[index]
                if draw not in fit or (attempt, number) in had[draw]:
                    continue
                if stop():
                    return BlockSamples((), attempt, stopped=True)
                turn = _taken(draw, turns, log, attempt, number)
                if turn is None:
                    fit.remove(draw)
                else:
                    had[draw][attempt, number] = turn
        if abs(_canary_ms(turns) / before_ms - 1.0) <= MOVED:
            timings = {draw: [t for (a, _), t in had[draw].items() if a == attempt] for draw in fit}
            break
    else:
        timings = {draw: list(had[draw].values()) for draw in fit}
    return BlockSamples(tuple(_sample(draw, timings[draw], setup, attempt * rounds) for draw in fit), attempt)


def _taken(
    draw: Draw, turns: KernelTimer, log: MeasurementLog, attempt: int, number: int
) -> RoundTiming | None:
    """Take one turn and keep it; None where the runtime does not make the kernel."""
    start_s = time.perf_counter()
    try:
        turn = turns.take(draw.spec)
    except UnsupportedKernel as error:
        log.reject(draw, error.found)
        return None
    log.add(draw, attempt, number, turn, time.perf_counter() - start_s)
    return turn


def _canary_ms(turns: KernelTimer) -> float:
    return min(turns.take(turns.adapt(CANARY)).exec_ms for _ in range(CANARY_TURNS))


def _sample(draw: Draw, turns: Sequence[RoundTiming], setup: MeasurementSetup, redone: int) -> Sample:
    """Label a kernel: the shortest round of each phase, of those that were not disturbed if there are any.

    An execution of some microseconds has the median of its rounds.
    """
    calm = [turn for turn in turns if turn.disturbance <= 1.0] or list(turns)
    times = np.array([(turn.pre_ms, turn.exec_ms, turn.post_ms) for turn in calm])
    pre_ms, exec_ms, post_ms = (float(value) for value in times.min(axis=0))
    if exec_ms < SHORT_MS:
        exec_ms = float(np.median(times[:, 1]))
    return Sample(
        spec=calm[0].spec,
        backend=setup.backend,
        precision=setup.precision,
        threads=setup.threads,
        pre_ms=pre_ms,
        exec_ms=exec_ms,
        post_ms=post_ms,
        spread=float(np.ptp(times[:, 1])) / exec_ms,
        rounds=len(calm),
        rejected=sum(turn.rejected for turn in turns) + redone,
        sampled_by=draw.sampled_by,
        machine=setup.machine,
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
