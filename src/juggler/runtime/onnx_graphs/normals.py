"""Normal numbers for weights and inputs, drawn once and used again and again.

Zeros are skipped by some kernels, and denormals slow all of them down; to draw 100 million numbers for each
kernel would take longer than to time it.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

POOL = 1 << 20
LINE = 16  # numbers in a cache line


def normal(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return normal numbers of that shape, the same ones again and again."""
    size = prod(shape)
    values = np.empty(size, np.float32)
    pool = _pool()
    for start in range(0, size, POOL):
        part = values[start : start + POOL]
        part[:] = pool[: part.size]
    return values.reshape(shape)


@lru_cache(maxsize=1)
def _pool() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(POOL, dtype=np.float32)


_GROWN: list[npt.NDArray[np.float32]] = []


def inputs(size: int) -> npt.NDArray[np.float32]:
    """Return so many normal numbers or more, the largest array so far: new memory is slow to touch.

    It begins with a cache line, as the maps do that a runtime hands from kernel to kernel: vectors that lie
    across two lines cost some kernels twice the time.
    """
    if not _GROWN or _GROWN[0].size < size:
        count = max(size, POOL)
        room = np.empty(count + LINE, np.float32)
        start = -(room.ctypes.data // room.itemsize) % LINE
        room[start : start + count] = normal((count,))
        _GROWN[:] = [room[start : start + count]]
        _GROWN[0].flags.writeable = False
    return _GROWN[0]


def on_line(count: int) -> int:
    """Return the count rounded up to whole cache lines of float32."""
    return -(-count // LINE) * LINE
