"""Fragments of IP packets: the later ones find the ports that stand in the first alone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from juggler.capture.frames import Account
from juggler.capture.packets import Packets

MOST_PACKETS = 8_192
"""Packets whose fragments are awaited at once; the one that was touched longest ago goes first."""


@dataclass
class _Waiting:
    source_port: int
    destination_port: int
    reach: int


class FragmentTable:
    """Give later fragments the ports of the first one, and see which of them overlap.

    A fragment whose first one has not come yet is dropped as `fragment_without_first`; one that covers bytes
    that came before is kept and marked as wrong, as the Teardrop attack's are.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[bytes, bytes, int, int], _Waiting] = OrderedDict()

    def join(self, packets: Packets, account: Account) -> tuple[Packets, NDArray[np.bool_]]:
        """Return the packets that belong to a flow, and which of them are wrong fragments, `[n]`."""
        at = np.flatnonzero(packets.more_fragments | (packets.fragment > 0))
        wrong = np.zeros(len(packets), bool)
        if not at.size:
            return packets, wrong
        good = np.ones(len(packets), bool)
        source_port, destination_port = packets.source_port.copy(), packets.destination_port.copy()
        sources, destinations = packets.sources[at], packets.destinations[at]
        columns = zip(
            at.tolist(),
            packets.fragment[at].tolist(),
            packets.transport_bytes[at].tolist(),
            packets.protocol[at].tolist(),
            packets.identification[at].tolist(),
            packets.more_fragments[at].tolist(),
            strict=True,
        )
        for row, (i, offset, size, protocol, identification, more) in enumerate(columns):
            key = (sources[row].tobytes(), destinations[row].tobytes(), protocol, identification)
            state = self._waiting.get(key)
            if offset == 0:
                wrong[i] = state is not None
                self._begin(key, _Waiting(int(source_port[i]), int(destination_port[i]), size))
            elif state is None:
                good[i] = False
            else:
                source_port[i], destination_port[i] = state.source_port, state.destination_port
                wrong[i] = offset < state.reach
                state.reach = max(state.reach, offset + size)
                self._waiting.move_to_end(key)
                if not more and not wrong[i]:
                    del self._waiting[key]
        account.drop("fragment_without_first", np.count_nonzero(~good))
        packets = replace(packets, source_port=source_port, destination_port=destination_port)
        return packets.take(good), wrong[good]

    def _begin(self, key: tuple[bytes, bytes, int, int], state: _Waiting) -> None:
        self._waiting[key] = state
        self._waiting.move_to_end(key)
        if len(self._waiting) > MOST_PACKETS:
            self._waiting.popitem(last=False)
