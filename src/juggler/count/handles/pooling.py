"""Pooling: maxima are comparisons, averages additions and one division a result.

Each result counts its whole window, the part on the padding included. Adaptive windows differ in size, and
are added up one by one.
"""

from __future__ import annotations

from math import prod

from juggler.count.work import Call, Handle, Work


def _window(call: Call, dimensions: int) -> int:
    kernel = call["kernel_size"]
    sizes = [kernel] if isinstance(kernel, int) else list(kernel)
    return prod(sizes * dimensions if len(sizes) == 1 else sizes)


def _max(dimensions: int) -> Handle:
    def handle(call: Call) -> Work:
        return Work("pool", comparisons=prod(call.out) * _window(call, dimensions))

    return handle


def _average(dimensions: int) -> Handle:
    def handle(call: Call) -> Work:
        results = prod(call.out)
        return Work("pool", additions=results * _window(call, dimensions), multiplications=results)

    return handle


def adaptive_reads(size: int, results: int) -> int:
    """Return how many elements the windows of one dimension read; windows overlap where it does not divide.

    Window i goes from floor(i size / results) to ceil((i + 1) size / results).
    """
    return sum(-(-(i + 1) * size // results) - i * size // results for i in range(results))


def _adaptive(call: Call, dimensions: int) -> int:
    """Return the elements that all windows read together."""
    read, written = call.size("self"), call.out
    outer = prod(written[:-dimensions])
    pairs = zip(read[-dimensions:], written[-dimensions:], strict=True)
    return outer * prod(adaptive_reads(size, results) for size, results in pairs)


def _adaptive_max(dimensions: int) -> Handle:
    def handle(call: Call) -> Work:
        return Work("pool", comparisons=_adaptive(call, dimensions))

    return handle


def _adaptive_average(dimensions: int) -> Handle:
    def handle(call: Call) -> Work:
        return Work("pool", additions=_adaptive(call, dimensions), multiplications=prod(call.out))

    return handle


HANDLES: dict[str, Handle] = {
    **{
        f"aten.max_pool{d}d{kind}": _max(d)
        for d, kinds in ((1, ("", "_with_indices")), (2, ("", "_with_indices")), (3, ("", "_with_indices")))
        for kind in kinds
    },
    **{f"aten.fractional_max_pool{d}d": _max(d) for d in (2, 3)},
    **{f"aten.avg_pool{d}d": _average(d) for d in (1, 2, 3)},
    **{f"aten.adaptive_max_pool{d}d": _adaptive_max(d) for d in (1, 2, 3)},
    **{f"aten.adaptive_avg_pool{d}d": _adaptive_average(d) for d in (1, 2, 3)},
    **{f"aten._adaptive_avg_pool{d}d": _adaptive_average(d) for d in (2, 3)},
}
