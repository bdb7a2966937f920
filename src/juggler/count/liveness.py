"""How much memory activations take while a network runs: each buffer lives from its making to its last use.

A step is one operator. While it runs, what it reads and what it writes are there together, and so is all that
later steps still read. Weights are not counted here: they are there all the time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Step:
    """One operator, by the numbers of the buffers that it uses.

    Attributes:
        reads: buffers that hold its inputs; views share the buffer of what they show.
        writes: buffers that hold its outputs; one in place writes what it reads.
    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]


def live_bytes(
    steps: Sequence[Step],
    sizes: Mapping[int, int],
    *,
    inputs: Collection[int] = (),
    outputs: Collection[int] = (),
) -> tuple[int, ...]:
    """Return the bytes alive while each step runs, in the order given.

    Args:
        steps: in the order in which they run.
        sizes: bytes of each buffer; buffers that are not in it, such as weights, take none.
        inputs: buffers that are there before the first step: the network's inputs.
        outputs: buffers that are read after the last step: its outputs.
    """
    first = dict.fromkeys(inputs, 0)
    last = dict.fromkeys(inputs, 0)
    for place, step in enumerate(steps):
        for buffer in (*step.reads, *step.writes):
            first.setdefault(buffer, place)
            last[buffer] = place
    end = len(steps)
    for buffer in outputs:
        first.setdefault(buffer, 0)  # no step made it: it is an input given back
        last[buffer] = end - 1
    change = np.zeros(end + 1, dtype=np.int64)
    if not end:
        return ()
    for buffer, start in first.items():
        change[start] += sizes.get(buffer, 0)
        change[last[buffer] + 1] -= sizes.get(buffer, 0)
    return tuple(int(alive) for alive in np.cumsum(change)[:end])
