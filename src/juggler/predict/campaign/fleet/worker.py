"""What runs on each device of a fleet: it times kernels, one turn a call; plain values go in and out.

The driver keeps everything. A worker that dies loses the turn that it was taking, and nothing else.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass

import psutil

from juggler.clock.canary import look_out
from juggler.clock.interference import Watch, taken_by_kernel
from juggler.errors import JugglerError, Unavailable
from juggler.nouns import Noun
from juggler.predict.campaign.store.measurements import turn_text
from juggler.predict.campaign.timing import PROFILERS, LocalTimer, UnsupportedKernel
from juggler.predict.kernels.spec import KernelSpec
from juggler.runtime.machine import machine
from juggler.runtime.open import require
from juggler.runtime.session import BACKENDS

TURN, UNFIT = "turn", "unfit"


@dataclass(frozen=True)
class Introduction(Noun):
    """What a worker says of itself.

    Attributes:
        machine: its record, as JSON.
        memory_bytes: of its machine.
        pid: of its process.
        missing: why it cannot work; empty where it can.
    """

    machine: str
    memory_bytes: int
    pid: int
    missing: str = ""


class FleetWorker:
    """Time kernels on this device.

    Args:
        backend: what runs them.
        threads: cores that a kernel may use.
    """

    def __init__(self, backend: str, threads: int) -> None:
        self._backend, self._threads = backend, threads
        self._open = ExitStack()
        self._turns: LocalTimer | None = None

    def introduce(self) -> str:
        """Get ready, and return an `Introduction` as JSON."""
        missing = ""
        try:
            require(BACKENDS.get(self._backend))
            canary = self._open.enter_context(look_out(True))
            watch = Watch(canary, taken_by_kernel)
            self._turns = LocalTimer(PROFILERS.get(self._backend), self._threads, watch)
        except JugglerError as error:
            missing = str(error)
        memory_bytes = int(psutil.virtual_memory().total)
        return Introduction(machine().to_json(), memory_bytes, os.getpid(), missing).to_json()

    def take(self, spec: str) -> tuple[str, str]:
        """Time one kernel, given as JSON, for one round; return `turn` and it as JSON, or `unfit` and why.

        Raises:
            Unavailable: the worker was not introduced, or cannot work.
        """
        if self._turns is None:
            raise Unavailable(
                "time a kernel", f"{self._backend} is not open here", "Introduce the worker first"
            )
        try:
            return TURN, turn_text(self._turns.take(KernelSpec.from_json(spec)))
        except UnsupportedKernel as error:
            return UNFIT, error.found
