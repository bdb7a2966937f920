"""Where flows are cut: by silence, by a new connection on the ports of an ended one, by their length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from juggler.capture.flow_state import Sorted, State
from juggler.capture.frames import Ints
from juggler.capture.keys import Keys
from juggler.capture.packets import ACK, FIN, ICMP, ICMP6, RST, SCTP, SYN, TCP, UDP, Packets
from juggler.checks import refuse_faults

ENDED_BY = ("idle", "ended", "unanswered", "active", "reused", "shed", "flushed")
"""Why a flow was given out: silence; closed or reset; never answered; too long; its ports were taken by a new
connection; no room; the end of the input."""
IDLE, ENDED, UNANSWERED, ACTIVE, REUSED, SHED, FLUSHED = range(len(ENDED_BY))
_SERVERS_BELOW = 1024
_SERVER_PORTS = (1502, 2222, 2404, 4840, 20000, 34962, 34963, 34964, 44818, 47808)
"""Higher ports where industrial servers listen: of two ends in mid-stream these are the server."""


@dataclass(frozen=True)
class FlowOptions:
    """When a flow ends, and how many are kept.

    Attributes:
        idle_s: silence after which a flow has ended.
        active_s: the longest that a flow lasts before it is given out, and goes on as another.
        unanswered_s: silence after which a flow has ended that nobody answered: a half-open connection, a
            datagram without a reply. It bounds the time until a flood is seen.
        ended_s: silence after which a closed or reset connection is given out.
        most_flows: flows that are kept; beyond that unanswered ones go first, the oldest of them first.
    """

    idle_s: float = 120.0
    active_s: float = 1800.0
    unanswered_s: float = 1.0
    ended_s: float = 0.5
    most_flows: int = 262_144

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigError: a time is not above 0 or above 2,000 s, or there is no room for a flow.
        """
        seconds = {name: getattr(self, name) for name in ("idle_s", "active_s", "unanswered_s", "ended_s")}
        refuse_faults(
            "put packets into flows",
            {f"{name} is {value!r}": not 0 < value <= 2_000 for name, value in seconds.items()}
            | {f"most_flows is {self.most_flows!r}": self.most_flows < 1},
            "Give seconds above 0 and up to 2,000, and room for at least one flow",
        )

    @property
    def timeouts_us(self) -> Ints:
        """Return the silences that end a flow, by the code of the reason: idle, ended, unanswered."""
        return np.array([self.idle_s, self.ended_s, self.unanswered_s]) * 1_000_000 // 1


@dataclass(frozen=True)
class SortedBlock:
    """The packets of a block, sorted by flow.

    Attributes:
        sorted: the packets.
        keys: columns of their keys.
        opener: `[n]`, the side that would have opened the flow if this were its first packet.
        is_syn: whether it opens a connection.
        group_hashes: `[groups]`, the hash of each flow of the block.
        group_first: `[groups]`, the place of each flow's first packet.
    """

    sorted: Sorted
    keys: State
    opener: Ints
    is_syn: NDArray[np.bool_]
    group_hashes: NDArray[np.uint64]
    group_first: Ints

    @classmethod
    def of(
        cls, packets: Packets, keys: Keys, times_us: Ints, wrong: NDArray[np.bool_], order: Ints
    ) -> SortedBlock:
        """Sort the packets of a block by flow."""
        hashes = keys.hashes[order]
        first = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
        side = np.where(keys.upward, 0, 1)
        flags = packets.tcp_flags
        answers = (flags & (SYN | ACK)) == (SYN | ACK)
        syn = (flags & (SYN | ACK)) == SYN
        served = _is_server(packets.source_port) & ~_is_server(packets.destination_port)
        ported = np.isin(packets.protocol, (TCP, UDP, SCTP))
        is_icmp = np.isin(packets.protocol, (ICMP, ICMP6))
        backwards = answers | (ported & served & ~syn)
        opener = np.where(backwards, 1 - side, side)
        return cls(
            sorted=Sorted(
                numbers=packets.numbers[order],
                times_us=times_us[order],
                times_ns=packets.times_ns[order],
                side=side[order],
                sizes=packets.ip_bytes[order],
                transport_bytes=packets.transport_bytes[order],
                payload_bytes=packets.payload_bytes[order],
                icmp_type=np.where(is_icmp, packets.source_port, 0)[order],
                icmp_code=np.where(is_icmp, packets.destination_port, 0)[order],
                flags=flags[order],
                wrong=wrong[order],
            ),
            keys={
                "low": keys.low[order],
                "high": keys.high[order],
                "low_port": keys.low_port[order],
                "high_port": keys.high_port[order],
                "protocol": packets.protocol[order],
                "vlan": packets.vlan[order],
            },
            opener=opener[order],
            is_syn=syn[order],
            group_hashes=hashes[first],
            group_first=first,
        )


def _is_server(ports: Ints) -> NDArray[np.bool_]:
    return (ports < _SERVERS_BELOW) | np.isin(ports, _SERVER_PORTS)


class Cuts:
    """Where the flows of a block are cut into parts, and why.

    Attributes:
        starts: `[parts]`, the first packet of each.
        groups: `[parts]`, the flow of the block that each belongs to.
        turns: `[parts]`, which part of its flow it is, from 0.
        is_new: `[parts]`, whether it begins a flow, rather than going on with one of the table.
        originators: `[parts]`, the side that opened the flow.
        ended_by: `[parts]`, why the flow ends behind it; -1 where it does not.
        ended_us: `[parts]`, when it was known to have ended.
        gone: flows of the block whose part in the table ended before the block's first packet of them.
        gone_by: why each of those ended.
        gone_us: when.
    """

    def __init__(self, block: SortedBlock, slots: Ints, table: State, options: FlowOptions) -> None:
        self._block, self._slots, self._table, self._options = block, slots, table, options
        n, first = len(block.opener), block.group_first
        self._cuts: list[tuple[int, int, int]] = []  # place, why the flow before it ended, when
        self._find()
        at_first = np.isin([cut[0] for cut in self._cuts], first)
        gone = [cut for cut, is_first in zip(self._cuts, at_first, strict=True) if is_first]
        self._cuts = [cut for cut, is_first in zip(self._cuts, at_first, strict=True) if not is_first]
        self.gone = np.searchsorted(first, [cut[0] for cut in gone])
        self.gone_by = np.array([cut[1] for cut in gone], np.int64)
        self.gone_us = np.array([cut[2] for cut in gone], np.int64)
        known = slots >= 0
        known[self.gone] = False
        places = np.array([cut[0] for cut in self._cuts], np.int64)
        self.starts = np.union1d(first, places)
        group_of = np.repeat(np.arange(len(first)), np.diff(first, append=n))
        self.groups = group_of[self.starts]
        self.turns = np.arange(len(self.starts)) - np.searchsorted(self.starts, first)[self.groups]
        self.is_new = (self.turns > 0) | ~known[self.groups]
        self.ended_by = np.full(len(self.starts), -1, np.int64)
        self.ended_us = np.zeros(len(self.starts), np.int64)
        if self._cuts:
            before = np.searchsorted(self.starts, places) - 1
            self.ended_by[before] = [cut[1] for cut in self._cuts]
            self.ended_us[before] = [cut[2] for cut in self._cuts]
        self.originators = block.opener[self.starts]

    def _find(self) -> None:
        """Walk over the packets before which a flow might end: behind a silence, or with a new SYN."""
        block, first = self._block, self._block.group_first
        times = block.sorted.times_us
        known = self._slots >= 0
        before = np.concatenate([times[:1], times[:-1]])
        before[first] = np.where(known, self._table["last_us"][self._slots], times[first])
        began = np.where(known, self._table["start_us"][self._slots], times[first])
        spans = np.diff(first, append=len(times))
        timeouts = self._options.timeouts_us.astype(np.int64)
        active_us = int(self._options.active_s * 1_000_000)
        possible = times - before >= timeouts.min()
        possible |= times - np.repeat(began, spans) > active_us
        possible |= block.is_syn
        fresh_first = first[~known]
        possible[fresh_first] = False
        places = np.flatnonzero(possible)
        if not places.size:
            return
        walk = _Walk(block, self._slots, self._table, timeouts.tolist(), active_us)
        groups = np.repeat(np.arange(len(first)), spans)[places]
        silences = (times - before)[places]
        for place, group, silence in zip(places.tolist(), groups.tolist(), silences.tolist(), strict=True):
            ended = walk.ended(place, group, silence)
            if ended is not None:
                self._cuts.append((place, *ended))


class _Walk:
    """What is known of a flow at a packet, without its packets having been put together yet."""

    def __init__(
        self, block: SortedBlock, slots: Ints, table: State, timeouts_us: list[int], active_us: int
    ) -> None:
        self._block, self._slots, self._table = block, slots, table
        self._timeouts_us, self._active_us = timeouts_us, active_us
        flags, side = block.sorted.flags, block.sorted.side
        self._sums = {
            name: np.concatenate([[0], np.cumsum(mask)])
            for name, mask in {
                "up": side == 0,
                "down": side == 1,
                "fin_up": (flags & FIN > 0) & (side == 0),
                "fin_down": (flags & FIN > 0) & (side == 1),
                "rst": flags & RST > 0,
                "syn_up": (flags & SYN > 0) & (side == 0),
                "syn_down": (flags & SYN > 0) & (side == 1),
            }.items()
        }
        self._group, self._begin, self._base = -1, 0, dict[str, int]()
        self._is_tcp = False

    def ended(self, place: int, group: int, silence: int) -> tuple[int, int] | None:
        """Return why and when the flow ended before a packet; None where it goes on."""
        if group != self._group:
            self._enter(group)
        at = self._at(place)
        condition = self._condition(at)
        time = int(self._block.sorted.times_us[place])
        last = time - silence
        if silence >= self._timeouts_us[condition]:
            verdict = (condition, last + self._timeouts_us[condition])
        elif self._block.is_syn[place] and condition == ENDED:
            verdict = (REUSED, time)
        elif time - at["start"] > self._active_us:
            verdict = (ACTIVE, time)
        else:
            return None
        self._begin, self._base = place, {}
        return verdict

    def _enter(self, group: int) -> None:
        self._group, self._begin = group, int(self._block.group_first[group])
        self._is_tcp = bool(self._block.keys["protocol"][self._begin] == TCP)
        slot, table = int(self._slots[group]), self._table
        self._base = {}
        if slot >= 0:
            flags, count = table["flag_counts"][slot], table["size_count"][slot]
            self._base = {
                "start": int(table["start_us"][slot]),
                "originator": int(table["originator"][slot]),
                "up": int(count[0]),
                "down": int(count[1]),
                "fin_up": int(flags[0, 0]),
                "fin_down": int(flags[1, 0]),
                "rst": int(flags[:, 2].sum()),
                "syn_up": int(flags[0, 1]),
                "syn_down": int(flags[1, 1]),
            }

    def _at(self, place: int) -> dict[str, int]:
        begin, base = self._begin, self._base
        at = {k: int(s[place] - s[begin]) + base.get(k, 0) for k, s in self._sums.items()}
        at["start"] = base.get("start", int(self._block.sorted.times_us[begin]))
        at["originator"] = base.get("originator", int(self._block.opener[begin]))
        return at

    def _condition(self, at: dict[str, int]) -> int:
        if self._is_tcp and (at["rst"] or (at["fin_up"] and at["fin_down"])):
            return ENDED
        opened, answered = ("up", "down") if at["originator"] == 0 else ("down", "up")
        if not at[answered] and (not self._is_tcp or at[f"syn_{opened}"]):
            return UNANSWERED
        return IDLE
