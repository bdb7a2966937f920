"""The machine's ceiling: what a tuned matrix product and a long copy reach on it.

A network cannot compute faster than the best matrix product, nor move its weights faster than a copy. The
product is given out as a callable, so that it can run in the same race as the networks: a ceiling taken at
another moment belongs to another machine, for clocks and neighbours change.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

SIDES = (512, 1024, 1536, 2048, 3072)
TRIALS = 5
COPY_BYTES = 1 << 28  # far beyond any cache but the largest shared ones
PRECISIONS = ("float32", "bfloat16", "int8")


@dataclass(frozen=True)
class Product:
    """A square matrix product that was the fastest of those tried.

    Attributes:
        precision: of its factors.
        library: what computes it.
        side: rows and columns of each factor.
        call: computes it once.
    """

    precision: str
    library: str
    side: int
    call: Callable[[], object]

    @property
    def gflop(self) -> float:
        """Return the work of one call: a multiplication and an addition each count, in 10^9."""
        return 2.0 * self.side**3 / 1e9

    def gflop_per_s(self, duration_ms: float) -> float:
        """Return the rate that a call of that duration has."""
        return self.gflop / duration_ms * 1e3


def tuned_product(
    precision: str = "float32",
    *,
    threads: int | None = None,
    sides: Sequence[int] = SIDES,
    now_ns: Callable[[], int] = time.perf_counter_ns,
) -> Product | None:
    """Try libraries and sizes, and return the fastest product; None where nothing computes it natively.

    Args:
        precision: `float32`, `bfloat16` or `int8`.
        threads: cores that torch may use; None is its own choice. numpy always makes its own.
        sides: of the square factors to try.
        now_ns: the time source, in nanoseconds.
    """
    fastest, best = None, 0.0
    for product in _candidates(precision, threads, sides):
        product.call()
        durations_ns = []
        for _ in range(TRIALS):
            start_ns = now_ns()
            product.call()
            durations_ns.append(now_ns() - start_ns)
        rate = product.gflop_per_s(max(statistics.median(durations_ns), 1) / 1e6)
        if rate > best:
            fastest, best = product, rate
    return fastest


def copy_gb_per_s(*, copy_bytes: int = COPY_BYTES, now_ns: Callable[[], int] = time.perf_counter_ns) -> float:
    """Return what a long copy reaches, bytes read and bytes written both counted, in 10^9 a second."""
    source = np.ones(copy_bytes // 4, dtype=np.float32)
    target = np.zeros_like(source)  # written once, so that no page is missing later
    copy: Callable[[], object] = lambda: np.copyto(target, source)  # noqa: E731
    if find_spec("torch") is not None:
        import torch  # noqa: PLC0415  # heavy

        read, written = torch.from_numpy(source), torch.from_numpy(target)
        copy = lambda: written.copy_(read)  # noqa: E731
    copy()
    durations_ns = []
    for _ in range(TRIALS):
        start_ns = now_ns()
        copy()
        durations_ns.append(now_ns() - start_ns)
    return 2.0 * source.nbytes / max(min(durations_ns), 1)


def _candidates(precision: str, threads: int | None, sides: Sequence[int]) -> Iterator[Product]:
    for side in sides:
        if precision == "float32":
            yield Product(precision, "numpy", side, _numpy_product(side))
        if find_spec("torch") is not None:
            call = _torch_product(side, precision, threads)
            if call is not None:
                yield Product(precision, "torch", side, call)


def _numpy_product(side: int) -> Callable[[], object]:
    draw = np.random.default_rng(0)
    a, b = (draw.standard_normal((side, side), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def _torch_product(side: int, precision: str, threads: int | None) -> Callable[[], object] | None:
    """Return a product in torch, or None where this processor has no instructions for the precision."""
    import torch  # noqa: PLC0415  # heavy

    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=draw) for _ in range(2))
    product: Callable[[], Any]
    if precision == "float32":
        out = torch.empty(side, side)
        product = lambda: torch.mm(a, b, out=out)  # noqa: E731
    elif precision == "bfloat16" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        x, y = a.bfloat16(), b.bfloat16()
        product = lambda: torch.mm(x, y)  # noqa: E731
    elif precision == "int8" and torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        p, q = ((m * 20).clamp(-127, 127).to(torch.int8) for m in (a, b))
        product = lambda: torch._int_mm(p, q)  # noqa: E731
    else:
        return None
    return _lent(product, threads)


def _lent(product: Callable[[], Any], threads: int | None) -> Callable[[], object]:
    """Lend torch a number of threads for each call, for it belongs to the whole process."""
    if threads is None:
        return product
    import torch  # noqa: PLC0415

    def call() -> object:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return product()
        finally:
            torch.set_num_threads(before)

    return call
