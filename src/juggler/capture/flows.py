"""Flows: packets of one conversation put together, in bounded memory, and given out when they end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from juggler.capture.clock import ForwardClock
from juggler.capture.flow_state import Sorted, State, empty_state, merged, parts
from juggler.capture.fragments import FragmentTable
from juggler.capture.frames import Account, Frames, Ints
from juggler.capture.keys import Hasher, Keys, keys_of
from juggler.capture.packets import ACK, FIN, ICMP, ICMP6, RST, SCTP, SYN, TCP, UDP, Packets, decode
from juggler.checks import refuse_faults

ENDED_BY = ("idle", "ended", "unanswered", "active", "reused", "shed", "flushed")
"""Why a flow was given out: silence; closed or reset; never answered; too long; its ports were taken by a new
connection; no room; the end of the input."""
_IDLE, _ENDED, _UNANSWERED, _ACTIVE, _REUSED, _SHED, _FLUSHED = range(len(ENDED_BY))
_SERVERS_BELOW = 1024
_SERVER_PORTS = (1502, 2222, 2404, 4840, 20000, 34962, 34963, 34964, 44818, 47808)
"""Ports above those where servers of industrial protocols listen: of two ends in mid-stream these are the server."""


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
class Flows:
    """Flows that have ended, in the order in which they did.

    Attributes:
        sources: `[n, 4]`, the address of the side that opened the flow, as `Packets` has it.
        destinations: `[n, 4]`, that of the other side.
        ended_by: `[n]`, places in `ENDED_BY`.
        ended_us: `[n]`, when the flow was known to have ended, in forward microseconds.
        state: columns by name, as `flow_state.FIELDS`; sides are 0 for source to destination, 1 for back.
    """

    sources: NDArray[np.uint32]
    destinations: NDArray[np.uint32]
    source_port: Ints
    destination_port: Ints
    protocol: Ints
    vlan: Ints
    ended_by: Ints
    ended_us: Ints
    state: State

    def __len__(self) -> int:
        return len(self.protocol)

    def take(self, at: NDArray[np.generic]) -> Self:
        """Return the flows at places, or where a mask is true."""
        columns = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "state"}
        return type(self)(
            **{name: column[at] for name, column in columns.items()},
            state={name: column[at] for name, column in self.state.items()},
        )


def join_flows(several: list[Flows]) -> Flows:
    """Return flows of several batches as one, in their order."""
    columns = [field.name for field in fields(Flows) if field.name != "state"]
    return Flows(
        **{name: np.concatenate([getattr(flows, name) for flows in several]) for name in columns},
        state={name: np.concatenate([f.state[name] for f in several]) for name in several[0].state},
    )


class FlowTable:
    """Put packets into flows, a block at a time.

    What comes out does not depend on how the packets were cut into blocks: flows are cut by the times and flags
    of their own packets alone, all sums are of whole numbers, and flows are given out by the time at which they
    ended. (Where there is no room for more flows, what is shed does depend on it; the account says how many.)
    """

    def __init__(
        self, account: Account, options: FlowOptions | None = None, *, hasher: Hasher | None = None
    ) -> None:
        self.account, self.options = account, options or FlowOptions()
        self._hasher, self._clock, self._fragments = hasher or Hasher(), ForwardClock(), FragmentTable()
        self._slots: dict[int, int] = {}
        self._room = 1024
        self._free = list(range(self._room - 1, -1, -1))
        self._state, self._keys = empty_state(self._room), _empty_keys(self._room)
        self._hashes = np.zeros(self._room, np.uint64)
        self._alive = np.zeros(self._room, bool)

    def __len__(self) -> int:
        return len(self._slots)

    def take(self, frames: Frames) -> Flows:
        """Take a block of frames; return the flows that have ended by its last one."""
        packets, wrong = self._fragments.join(decode(frames, self.account), self.account)
        self.account.processed += len(packets)
        if not len(packets):
            return self._ended([])
        times_us = self._clock.forward(packets.times_ns, self.account) // 1000
        keys = keys_of(packets, self._hasher)
        order = np.argsort(keys.hashes, kind="stable")
        block = _Block.of(packets, keys, times_us, wrong, order)
        out = list(self._merge(block))
        out += self._expired()
        return self._ended(out)

    def flush(self) -> Flows:
        """Give out all flows that are left, at the end of the input."""
        alive = np.flatnonzero(self._alive)
        ended_us = np.full(len(alive), self._clock.now_ns // 1000)
        return self._ended([self._give(alive, np.full(len(alive), _FLUSHED), ended_us)])

    def _merge(self, block: _Block) -> Iterator[Flows]:
        """Put the parts of all flows of a block into the table, those of one flow one after the other."""
        get = self._slots.get
        slots = np.array([get(h, -1) for h in block.group_hashes.tolist()], np.int64)
        cuts = _Cuts(block, slots, self._state, self.options)
        part_state = parts(block.sorted, cuts.starts, cuts.originators)
        for turn in range(int(cuts.turns.max()) + 1):
            rows = np.flatnonzero(cuts.turns == turn)
            groups = cuts.groups[rows]
            going_on = ~cuts.is_new[rows]
            new = rows[~going_on]
            slots[cuts.groups[new]] = self._allocate(block, cuts.groups[new])
            self._set(slots[cuts.groups[new]], _rows(part_state, new))
            old = rows[going_on]
            at = slots[cuts.groups[old]]
            if old.size:
                self._set(at, merged(_rows(self._state, at), _rows(part_state, old)))
            is_cut = cuts.ended_by[rows] >= 0
            if is_cut.any():
                cut = rows[is_cut]
                yield self._give(slots[groups[is_cut]], cuts.ended_by[cut], cuts.ended_us[cut])

    def _set(self, slots: Ints, state: State) -> None:
        for name, column in state.items():
            self._state[name][slots] = column

    def _allocate(self, block: _Block, groups: Ints) -> Ints:
        while len(self._free) < len(groups):
            self._grow()
        slots = np.array(self._free[len(self._free) - len(groups) :], np.int64)
        del self._free[len(self._free) - len(groups) :]
        hashes = block.group_hashes[groups]
        self._slots.update(zip(hashes.tolist(), slots.tolist(), strict=True))
        self._hashes[slots], self._alive[slots] = hashes, True
        first = block.group_first[groups]
        for name, column in block.keys.items():
            self._keys[name][slots] = column[first]
        return slots

    def _grow(self) -> None:
        room = self._room
        self._state = {k: np.concatenate([v, empty_state(room)[k]]) for k, v in self._state.items()}
        self._keys = {k: np.concatenate([v, np.zeros_like(v)]) for k, v in self._keys.items()}
        self._hashes = np.concatenate([self._hashes, np.zeros(room, np.uint64)])
        self._alive = np.concatenate([self._alive, np.zeros(room, bool)])
        self._free = [*range(2 * room - 1, room - 1, -1), *self._free]
        self._room = 2 * room

    def _expired(self) -> Iterator[Flows]:
        """Give out what has been silent for long enough, and the oldest where there is no room for all."""
        now_us = self._clock.now_ns // 1000
        alive = np.flatnonzero(self._alive)
        condition = _conditions(self._state, self._keys["protocol"], alive)
        ends_us = self._state["last_us"][alive] + self.options.timeouts_us[condition].astype(np.int64)
        due = ends_us <= now_us
        yield self._give(alive[due], condition[due], ends_us[due])
        left, condition = alive[~due], condition[~due]
        surplus = len(left) - self.options.most_flows
        if surplus > 0:
            last = self._state["last_us"][left]
            first_to_go = np.lexsort((last, condition != _UNANSWERED))[:surplus]
            self.account.note("flows_shed", surplus)
            yield self._give(left[first_to_go], np.full(surplus, _SHED), np.full(surplus, now_us))

    def _give(self, slots: Ints, ended_by: Ints, ended_us: Ints) -> Flows:
        """Take flows out of the table."""
        state = _rows(self._state, slots)
        swap = state["originator"] == 1
        for name, column in state.items():
            if column.shape[1:2] == (2,):
                state[name] = np.where(swap.reshape(-1, *[1] * (column.ndim - 1)), column[:, ::-1], column)
        state["reset_first"] = np.where(
            swap & (state["reset_first"] >= 0), 1 - state["reset_first"], state["reset_first"]
        )
        key = {name: column[slots] for name, column in self._keys.items()}
        for value in self._hashes[slots].tolist():
            del self._slots[value]
        self._alive[slots] = False
        self._free.extend(slots.tolist())
        return Flows(
            sources=np.where(swap[:, None], key["high"], key["low"]),
            destinations=np.where(swap[:, None], key["low"], key["high"]),
            source_port=np.where(swap, key["high_port"], key["low_port"]),
            destination_port=np.where(swap, key["low_port"], key["high_port"]),
            protocol=key["protocol"],
            vlan=key["vlan"],
            ended_by=np.asarray(ended_by, np.int64),
            ended_us=np.asarray(ended_us, np.int64),
            state=state,
        )

    def _ended(self, out: list[Flows]) -> Flows:
        if not out:
            nothing = np.empty(0, np.int64)
            return self._give(nothing, nothing, nothing)
        flows = join_flows(out)
        return flows.take(np.lexsort((flows.state["first_number"], flows.ended_us)))


def _rows(columns: State, at: Ints) -> State:
    return {name: column[at] for name, column in columns.items()}


def _empty_keys(room: int) -> State:
    return {
        "low": np.zeros((room, 4), np.uint32),
        "high": np.zeros((room, 4), np.uint32),
        "low_port": np.zeros(room, np.int32),
        "high_port": np.zeros(room, np.int32),
        "protocol": np.zeros(room, np.int16),
        "vlan": np.zeros(room, np.int16),
    }


def _conditions(state: State, protocols: NDArray[np.generic], at: Ints) -> Ints:
    """Return which silence ends each flow: that of ended, of unanswered, or of idle ones."""
    flags, originator = state["flag_counts"], state["originator"][at].astype(np.int64)
    answered = state["size_count"][at, 1 - originator] > 0
    is_tcp = protocols[at] == TCP
    reset = state["reset_first"][at] >= 0
    closed = (flags[at, 0, 0] > 0) & (flags[at, 1, 0] > 0)
    waiting = ~answered & (~is_tcp | (flags[at, originator, 1] > 0))
    return np.select([is_tcp & (reset | closed), waiting], [_ENDED, _UNANSWERED], _IDLE)


@dataclass(frozen=True)
class _Block:
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
    ) -> _Block:
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


class _Cuts:
    """Where the flows of a block are cut into parts, and why.

    Attributes:
        starts: `[parts]`, the first packet of each.
        groups: `[parts]`, the flow of the block that each belongs to.
        turns: `[parts]`, which part of its flow it is, from 0.
        is_new: `[parts]`, whether it begins a flow, rather than going on with one of the table.
        originators: `[parts]`, the side that opened the flow.
        ended_by: `[parts]`, why the flow ends behind it; -1 where it does not.
        ended_us: `[parts]`, when it was known to have ended.
    """

    def __init__(self, block: _Block, slots: Ints, table: State, options: FlowOptions) -> None:
        self._block, self._slots, self._table, self._options = block, slots, table, options
        n, first = len(block.opener), block.group_first
        self._cuts: list[tuple[int, int, int]] = []  # place, why the flow before it ended, when
        self._expire_before_first: dict[int, tuple[int, int]] = {}
        self._find()
        places = np.array([cut[0] for cut in self._cuts], np.int64)
        self.starts = np.union1d(first, places)
        group_of = np.repeat(np.arange(len(first)), np.diff(first, append=n))
        self.groups = group_of[self.starts]
        self.turns = np.arange(len(self.starts)) - np.searchsorted(self.starts, first)[self.groups]
        self.is_new = (self.turns > 0) | (slots[self.groups] < 0)
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
        possible = times - before > timeouts.min()
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
        self, block: _Block, slots: Ints, table: State, timeouts_us: list[int], active_us: int
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
        if silence > self._timeouts_us[condition]:
            verdict = (condition, last + self._timeouts_us[condition])
        elif self._block.is_syn[place] and condition == _ENDED:
            verdict = (_REUSED, time)
        elif time - at["start"] > self._active_us:
            verdict = (_ACTIVE, time)
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
            return _ENDED
        opened, answered = ("up", "down") if at["originator"] == 0 else ("down", "up")
        if not at[answered] and (not self._is_tcp or at[f"syn_{opened}"]):
            return _UNANSWERED
        return _IDLE


def flows_of(
    frames: Iterator[Frames], account: Account, options: FlowOptions | None = None, *, seed: int | None = None
) -> Iterator[Flows]:
    """Yield the flows of a capture as they end, and at its end those that are left.

    Args:
        frames: blocks of frames, as `read_frames` yields them.
        account: counts what became of every frame.
        options: when a flow ends.
        seed: draws the key of the table's hash, for tests.
    """
    table = FlowTable(account, options, hasher=Hasher(seed) if seed is not None else None)
    for block in frames:
        ended = table.take(block)
        if len(ended):
            yield ended
    rest = table.flush()
    if len(rest):
        yield rest
