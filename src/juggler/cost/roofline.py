"""The roofline: how fast a machine computes, moves bytes and starts operators, and what that lets each take.

An operator can take no less than its arithmetic at the best rate of the machine, no less than its bytes at
the rate of a long copy, and no less than it takes to call an operator that does nothing. The largest of the
three is its bound. Kernels stay below the roof, and what lies in a cache comes faster than the copy, so this
is a bound and no forecast.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from juggler.clock.ceiling import copy_gb_per_s, tuned_product
from juggler.count.counted import OpCount
from juggler.errors import ConfigError, Unavailable
from juggler.nouns import Noun, Progress, ReportProgress, ignore_progress

COMPUTE, MEMORY, OVERHEAD, FREE = "compute", "memory", "overhead", "free"
PRODUCTS, CALLS = 5, 400
MEASURED, GIVEN = "measured", "given"


@dataclass(frozen=True)
class Ceilings(Noun):
    """What a machine can do at best.

    Attributes:
        gflop_per_s: arithmetic, a multiplication and an addition each counted, in 10^9 a second.
        gb_per_s: bytes read and written, in 10^9 a second.
        overhead_us: what calling an operator takes that does nothing, in 10^-6 s.
        source: `measured` on this machine or `given`, and with what.
    """

    gflop_per_s: float
    gb_per_s: float
    overhead_us: float = 0.0
    source: str = GIVEN

    def __post_init__(self) -> None:
        rates = {"GFLOP/s": self.gflop_per_s, "GB/s": self.gb_per_s}
        for unit, rate in rates.items():
            if not (math.isfinite(rate) and rate > 0):
                raise ConfigError("draw a roofline", f"a ceiling of {rate} {unit}", "Make it more than 0")
        if not (math.isfinite(self.overhead_us) and self.overhead_us >= 0):
            raise ConfigError("draw a roofline", f"an overhead of {self.overhead_us} µs", "Make it 0 or more")

    @property
    def ridge(self) -> float:
        """Return the intensity, in operations a byte, from which on arithmetic is the bound."""
        return self.gflop_per_s / self.gb_per_s

    def attainable_gflop_per_s(self, intensity: float) -> float:
        """Return the rate under the roof at so many operations a byte."""
        return min(self.gflop_per_s, intensity * self.gb_per_s)


@dataclass(frozen=True)
class Floor(Noun):
    """The least that an operator can take, by each ceiling, in milliseconds."""

    compute_ms: float
    memory_ms: float
    overhead_ms: float

    @property
    def least_ms(self) -> float:
        """Return the largest of the three."""
        return max(self.compute_ms, self.memory_ms, self.overhead_ms)

    @property
    def bound(self) -> str:
        """Return which is the largest: `compute`, `memory` or `overhead`; `free` where there is none."""
        if self.least_ms == 0:
            return FREE
        named = {COMPUTE: self.compute_ms, MEMORY: self.memory_ms, OVERHEAD: self.overhead_ms}
        return max(named, key=lambda name: named[name])


def floor_of(op: OpCount, ceilings: Ceilings) -> Floor:
    """Return the least that the operator can take; nothing for a view."""
    if op.kind == "view":
        return Floor(0.0, 0.0, 0.0)
    return Floor(
        compute_ms=op.operations / ceilings.gflop_per_s / 1e6,
        memory_ms=op.moved_bytes / ceilings.gb_per_s / 1e6,
        overhead_ms=ceilings.overhead_us / 1e3,
    )


def measure_ceilings(
    *,
    threads: int | None = None,
    sides: Sequence[int] = (1024, 2048),
    copy_bytes: int = 1 << 27,
    progress: ReportProgress | None = None,
    now_ns: Callable[[], int] = time.perf_counter_ns,
) -> Ceilings:
    """Measure this machine in float32; takes a few seconds.

    Args:
        threads: cores that torch may use; None is its own choice.
        sides: of the products tried: the best ones lie at the usual two, and larger ones take seconds.
        copy_bytes: of the copy.
        progress: told how many of how many steps are done.
        now_ns: the time source, in nanoseconds.

    Raises:
        Unavailable: nothing here computes a product of matrices.
    """
    report = progress or ignore_progress
    report(Progress("measure the ceilings", 0, 3, "steps"))
    product = tuned_product("float32", threads=threads, sides=sides, now_ns=now_ns)
    if product is None:
        raise Unavailable("measure the ceilings", "no product of matrices", "Give them yourself")
    gflop_per_s = product.gflop_per_s(_median_ms(product.call, PRODUCTS, now_ns))
    report(Progress("measure the ceilings", 1, 3, "steps"))
    gb_per_s = copy_gb_per_s(copy_bytes=copy_bytes, now_ns=now_ns)
    report(Progress("measure the ceilings", 2, 3, "steps"))
    overhead_us = _median_ms(_single_addition(), CALLS, now_ns) * 1e3
    report(Progress("measure the ceilings", 3, 3, "steps"))
    best = f"{product.library}, float32, {product.side} x {product.side}"
    source = f"{MEASURED}: {best}; copy of {copy_bytes >> 20} MiB"
    return Ceilings(gflop_per_s, gb_per_s, overhead_us, source)


def _median_ms(call: Callable[[], object], times: int, now_ns: Callable[[], int]) -> float:
    durations_ns = []
    call()
    for _ in range(times):
        start_ns = now_ns()
        call()
        durations_ns.append(now_ns() - start_ns)
    return max(statistics.median(durations_ns), 1) / 1e6


def _single_addition() -> Callable[[], object]:
    """Return a call of torch that computes one element."""
    import torch  # noqa: PLC0415  # heavy

    operand, out = torch.ones(1), torch.empty(1)
    return lambda: torch.add(operand, operand, out=out)
