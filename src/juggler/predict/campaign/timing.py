"""Time one kernel in three phases: what brings its input, the kernel itself, what takes its output away.

Section 4 of ResPerfNet takes a layer apart so: `pre` copies its input to where it is computed and reorders
it, `exec` computes, `post` reorders and copies back. On a CPU the copies are small, and the reorders are
those to and from the blocked layout that convolutions run in. Which runtime does what is read from its own
profile, by one plug-in a backend in `juggler.predict.campaign.timers`.

The machine is watched as in a race (`juggler.cost`): a turn that was disturbed is taken again.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from juggler.arrays import Floats
from juggler.clock.interference import Watch
from juggler.clock.turns import ATTEMPTS, LEAD_IN_MS
from juggler.cost.hardware.hierarchy import cache_bytes
from juggler.errors import JugglerError, Unavailable
from juggler.extras import install_command
from juggler.lazy import renamed
from juggler.nouns import Noun
from juggler.predict.kernels.spec import KernelSpec
from juggler.registry import Registry

MIN_TURN_MS = 5.0
FEWEST_CALLS = 3  # of a turn, where a call is short enough for it
LONG_CALL_MS = 20.0  # of such calls one a turn is enough: noise is shorter than they are
LED_IN_CALLS = (
    3  # and two of long ones: a runtime lays its memory out in the first call, and anew in the second
)
ENDLESS_CALL_MS = 1000.0  # of these the first is what is kept
MOST_CALLS = 200  # each leaves some events in the profile, which must be read
KERNEL = "kernel"  # one name for all to the watch, which learns from all what is usual
MOST_SWEEP_BYTES = 64 << 20
SWEEP_CACHES = 8  # times the private cache


__getattr__ = renamed(
    __name__,
    {
        "PHASERS": f"{__name__}:PROFILERS",
        "Phaser": f"{__name__}:Profiler",
        "Phases": f"{__name__}:PhaseTimings",
        "Unfit": f"{__name__}:UnsupportedKernel",
    },
)


class UnsupportedKernel(JugglerError):  # noqa: N818  # it names a state, as `Unavailable` does
    """The runtime does not make this kernel: it splits or replaces it, or has no such operator."""


@dataclass(frozen=True)
class PhaseTimings:
    """Durations of single calls in milliseconds, `[calls]` each, and the kernel as the runtime ran it."""

    spec: KernelSpec
    pre_ms: Floats
    exec_ms: Floats
    post_ms: Floats


class Bench(Protocol):
    """One kernel, opened on a backend and ready to be called."""

    def run(self) -> None:
        """Call it once."""
        ...

    def finish(self) -> PhaseTimings:
        """Close it and return what each call took, in order.

        Raises:
            UnsupportedKernel: the runtime made something else of the kernel.
        """
        ...


class Profiler(Protocol):
    """What takes the time of a kernel apart on one backend; each file offers one as `PROFILER`.

    Attributes:
        name: of the backend that it times, and of its file.
    """

    name: str

    def adapt(self, spec: KernelSpec) -> KernelSpec:
        """Return the kernel nearest to that which the backend can make."""
        ...

    def open(self, spec: KernelSpec, threads: int) -> Bench:
        """Open a kernel, inputs and weights drawn.

        Raises:
            UnsupportedKernel: the backend has no such kernel.
        """
        ...


class PluginProfiler:
    """Base of profilers whose package may be missing: opens a bench, and says what to install.

    Args:
        name: of the backend.
        package: that it needs, in words.
        bench: what runs one kernel; imports the package when it is made.
    """

    def __init__(self, name: str, package: str, bench: Callable[[KernelSpec, int], Bench]) -> None:
        self.name, self._package, self._bench = name, package, bench

    def adapt(self, spec: KernelSpec) -> KernelSpec:
        """Return the kernel as it is: whether it is made is seen when it is timed."""
        return spec

    def open(self, spec: KernelSpec, threads: int) -> Bench:
        """Open the one kernel.

        Raises:
            Unavailable: the package is not installed.
            UnsupportedKernel: the backend has no such kernel.
        """
        try:
            return self._bench(spec, threads)
        except ImportError as error:
            remedy = f"Run: {install_command('train')}"
            raise Unavailable(
                f"time a kernel on {self.name}", f"{self._package} is not installed", remedy
            ) from error


def unsupported(spec: KernelSpec, backend: str, fault: str) -> UnsupportedKernel:
    """Return the error of a kernel that a backend does not make."""
    return UnsupportedKernel(f"time a {spec.family} kernel on {backend}", fault, "Leave this kernel out")


PROFILERS: Registry[Profiler] = Registry(
    "profiler", "juggler.predict.campaign.timers", alias="juggler.phasers"
)


@dataclass(frozen=True)
class RoundTiming(Noun):
    """What one kernel took in one round: the middle of its calls, in milliseconds.

    Attributes:
        spec: the kernel as the runtime ran it: its layout is what was found.
        disturbance: of the attempt that was kept; above 1 the machine was not this process's own.
        rejected: attempts that were taken again.
    """

    spec: KernelSpec
    pre_ms: float
    exec_ms: float
    post_ms: float
    disturbance: float
    rejected: int = 0


class LocalTimer:
    """Takes turns, again where the machine was disturbed, as long as patience lasts.

    Args:
        profiler: of the backend.
        threads: cores that a kernel may use.
        watch: judges the turns.
        min_turn_ms: shortest timed part of a turn, in milliseconds.
        patience: what taking turns again may cost, as a share of what the first attempts cost.
    """

    def __init__(
        self,
        profiler: Profiler,
        threads: int,
        watch: Watch,
        *,
        min_turn_ms: float = MIN_TURN_MS,
        patience: float = 1.0,
    ) -> None:
        self._profiler, self._threads, self._watch = profiler, threads, watch
        self._min_turn_ms, self._patience = min_turn_ms, patience
        self._needed_s = self._extra_s = 0.0

    def adapt(self, spec: KernelSpec) -> KernelSpec:
        """Return the kernel nearest to that which the backend can make."""
        return self._profiler.adapt(spec)

    def take(self, spec: KernelSpec) -> RoundTiming:
        """Time one kernel for one round.

        Raises:
            UnsupportedKernel: the runtime does not make this kernel.
        """
        start_s = time.perf_counter()
        best, rejected = self._attempt(spec), 0
        self._needed_s += time.perf_counter() - start_s
        while best.disturbance > 1.0 and rejected < ATTEMPTS - 1:
            if self._extra_s >= self._patience * self._needed_s:
                break
            start_s = time.perf_counter()
            best = min(best, self._attempt(spec), key=lambda turn: turn.disturbance)
            self._extra_s += time.perf_counter() - start_s
            rejected += 1
        return replace(best, rejected=rejected)

    def _attempt(self, spec: KernelSpec) -> RoundTiming:
        loudness = self._watch.loudness
        bench = self._profiler.open(spec, self._threads)
        call = _cold(bench.run) if spec.cold else bench.run
        led_in = _lead_in(call)
        before, start_s = self._watch.taken(), time.perf_counter()
        fewest = FEWEST_CALLS if led_in[-1] < LONG_CALL_MS else 1
        # The lead-in of a call that takes seconds counts: another would double the turn.
        again = led_in[-1] <= ENDLESS_CALL_MS
        calls = _repeat(call, self._min_turn_ms, fewest, MOST_CALLS) if again else []
        turn_ms = (time.perf_counter() - start_s) * 1e3
        taken = self._watch.taken().since(before)
        phases = bench.finish()
        self._watch.look(KERNEL)
        disturbance = self._watch.disturbance(KERNEL, taken, turn_ms, loudness)
        last_calls = slice(-len(calls), None) if calls else slice(None)
        pre_ms, exec_ms, post_ms = (
            midmean(times_ms[last_calls]) for times_ms in (phases.pre_ms, phases.exec_ms, phases.post_ms)
        )
        return RoundTiming(phases.spec, pre_ms, exec_ms, post_ms, disturbance)


def midmean(values: Floats) -> float:
    """Return the mean of the middle half: as calm as the median, and finer where values are whole numbers."""
    ordered = np.sort(values)
    quarter = values.size // 4
    return float(ordered[quarter : values.size - quarter].mean())


def _lead_in(call: Callable[[], object]) -> list[float]:
    """Call until the memory is where it stays and the caches are warm; return what each call took.

    ONNX Runtime traces in its first call which buffers a graph needs, and takes one block for all of them in
    the second: where maps are large, both take several times as long as those that follow.
    """
    first = _repeat(call, 0.0, 1, 1)
    if first[-1] > ENDLESS_CALL_MS:
        return first
    calls = 1 if first[-1] > LONG_CALL_MS else LED_IN_CALLS - 1
    return first + _repeat(call, LEAD_IN_MS, calls, MOST_CALLS // 4)


def _repeat(call: Callable[[], object], min_ms: float, fewest: int, most: int) -> list[float]:
    """Call until both so many milliseconds and calls are reached; return what each took."""
    durations_ms: list[float] = []
    start_s = time.perf_counter()
    while len(durations_ms) < most:
        before_s = time.perf_counter()
        call()
        after_s = time.perf_counter()
        durations_ms.append((after_s - before_s) * 1e3)
        if len(durations_ms) >= fewest and (after_s - start_s) * 1e3 >= min_ms:
            break
    return durations_ms


def _cold(run: Callable[[], None]) -> Callable[[], None]:
    """Let each call find the caches full of something else."""
    sweep = _sweep()

    def call() -> None:
        sweep.sum()
        run()

    return call


@lru_cache(maxsize=1)
def _sweep() -> npt.NDArray[np.float32]:
    return np.ones(cold_bytes() // 4, np.float32)


def cold_bytes() -> int:
    """Return how many bytes are read before each call of a cold kernel.

    Enough to empty a core's private cache and as much of the shared one as a process can expect to hold; the
    whole of a server's shared cache, hundreds of megabytes, would take longer to read than kernels take.
    """
    private = max(cache_bytes(2) or 0, 1 << 20)
    return min(MOST_SWEEP_BYTES, max(SWEEP_CACHES * private, cache_bytes(3) or 0))


def resident_bytes(spec: KernelSpec) -> int:
    """Return about how much memory timing a kernel takes: its tensors, and copies in other layouts."""
    copies = 2 * (spec.input_bytes + spec.output_bytes) + 3 * spec.weight_bytes
    return copies + spec.im2col_bytes // max(1, spec.batch)


def scratch() -> Path:
    """Return a folder in memory for profiles, or the usual one where there is none."""
    shared = Path("/dev/shm")  # noqa: S108  # a file there is made with a name of its own
    if shared.is_dir() and os.access(shared, os.W_OK):
        return shared
    return Path(tempfile.gettempdir())
