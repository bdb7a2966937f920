"""A canary: a small piece of work, always the same, on every core at once, that takes longer when others run.

It says whether the machine was this process's own just before and just after a turn of a race. It uses no
BLAS and no OpenMP, whose threads go on spinning after a call and would disturb whoever is timed next, but
one plain thread a core that hashes (which frees the interpreter's lock), and it first waits until the
spinning threads of the contender before it have gone to sleep.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

WORK_MS = 0.25  # of one thread on a free core; the whole takes about 0.4 ms, the waking of threads included
LARGEST_BYTES = 16 * 2**20  # of the work, on a time source that does not move
LATE_S = 1.0  # a core that is not given back for so long: do not wait for it any longer
# Threads are charged at the kernel's tick, of 4 ms or 10 ms; a shorter look would miss one that spins.
REST_S = 0.005
RESTS = 12  # ONNX Runtime spins for up to 28 ms; who spins on after 60 ms does so in every round
IDLE_SHARE = 0.2  # of one core; the waking from the rest itself takes about 0.05


class Canary:
    """Hash a fixed number of bytes on every core, in threads that are kept; call it for the milliseconds.

    Args:
        cores: how many threads; None takes one for each core that this process may use.

    Raises:
        RuntimeError: the system gives no more threads.
    """

    def __init__(self, cores: int | None = None) -> None:
        self._bytes = bytes(_calibrated())
        self._finished = threading.Semaphore(0)
        self._outstanding = 0  # threads that were late in an earlier call
        self._closing = False
        self._go: list[threading.Semaphore] = []
        try:
            for _ in range(cores or len(os.sched_getaffinity(0))):
                go = threading.Semaphore(0)
                threading.Thread(target=self._work, args=(go,), name="canary", daemon=True).start()
                self._go.append(go)
        except RuntimeError:
            self.close()
            raise

    def __call__(self) -> float:
        """Return how long the slowest core took, in milliseconds; infinity where one never got its turn."""
        rest()
        if not self._gather(self._outstanding):
            return math.inf
        start_ns = time.perf_counter_ns()
        for go in self._go:
            go.release()
        return (time.perf_counter_ns() - start_ns) / 1e6 if self._gather(len(self._go)) else math.inf

    def close(self) -> None:
        """End the threads."""
        self._closing = True
        for go in self._go:
            go.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _gather(self, threads: int) -> bool:
        """Wait for so many threads; say whether all have finished, and remember how many have not."""
        for done in range(threads):
            if not self._finished.acquire(timeout=LATE_S):
                self._outstanding = threads - done
                return False
        self._outstanding = 0
        return True

    def _work(self, go: threading.Semaphore) -> None:
        while True:
            go.acquire()
            if self._closing:
                return
            hashlib.sha256(self._bytes)
            self._finished.release()


@contextmanager
def look_out(canary: Callable[[], float] | bool) -> Iterator[Callable[[], float] | None]:
    """Open the canary that is asked for; None is none.

    Args:
        canary: True for the one of this file, where the system has threads for it; False for none; or
            another, which is not closed.
    """
    if not isinstance(canary, bool):
        yield canary
        return
    bird = None
    if canary:
        with suppress(RuntimeError):  # no threads left: a race without a canary is better than none
            bird = Canary()
    try:
        yield bird
    finally:
        if bird is not None:
            bird.close()


def rest() -> None:
    """Sleep until the other threads of this process do not run either, for 60 ms at most."""
    for _ in range(RESTS):
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        time.sleep(REST_S)
        if time.process_time() - cpu_s < IDLE_SHARE * (time.perf_counter() - wall_s):
            return


def _calibrated() -> int:
    """Return how many bytes this machine hashes in `WORK_MS`, to within a factor of two."""
    size = 16 * 2**10
    while size < LARGEST_BYTES:
        work = bytes(size)
        shortest_ns = math.inf
        for _ in range(3):
            start_ns = time.perf_counter_ns()
            hashlib.sha256(work)
            shortest_ns = min(shortest_ns, time.perf_counter_ns() - start_ns)
        if shortest_ns >= WORK_MS * 1e6 / math.sqrt(2.0):
            break
        size *= 2
    return size
