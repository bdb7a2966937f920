"""Flows: packets of one conversation put together, in bounded memory, and given out when they end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from juggler.capture.clock import ForwardClock
from juggler.capture.flow_cuts import ENDED, FLUSHED, IDLE, SHED, UNANSWERED, Cuts, FlowOptions, SortedBlock
from juggler.capture.flow_state import State, empty_state, merged, parts
from juggler.capture.fragments import FragmentTable
from juggler.capture.frames import Account, Frames, Ints
from juggler.capture.keys import Hasher, keys_of
from juggler.capture.packets import TCP, decode


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

    def take(self, at: NDArray[Any]) -> Self:
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

    What comes out does not depend on how the packets were cut into blocks: flows are cut by the times and
    flags of their own packets alone, all sums are of whole numbers, and flows are given out by the time at
    which they ended. (Where there is no room, what is shed does depend on it; the account says how many.)
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
        self._pending: list[Flows] = []

    def __len__(self) -> int:
        return len(self._slots)

    def take(self, frames: Frames) -> Flows:
        """Take a block of frames; return the flows that have ended by its last one."""
        packets, wrong = self._fragments.join(decode(frames, self.account), self.account)
        self.account.processed += len(packets)
        if not len(packets):
            return self._give(_NOTHING, _NOTHING, _NOTHING)
        times_us = self._clock.forward(packets.times_ns, self.account) // 1000
        keys = keys_of(packets, self._hasher)
        order = np.argsort(keys.hashes, kind="stable")
        block = SortedBlock.of(packets, keys, times_us, wrong, order)
        ended = _in_order([*self._pending, *self._merge(block), *self._expired()])
        # A flow that the next block ends may have ended at this very moment too, and come before.
        now = ended.ended_us == self._clock.now_ns // 1000
        self._pending = [ended.take(now)]
        return ended.take(~now)

    def flush(self) -> Flows:
        """Give out all flows that are left, at the end of the input."""
        alive = np.flatnonzero(self._alive)
        alive = alive[np.argsort(self._state["first_number"][alive])]
        ended_us = np.full(len(alive), self._clock.now_ns // 1000)
        rest = self._give(alive, np.full(len(alive), FLUSHED), ended_us)
        return join_flows([*self._pending, rest])

    def _merge(self, block: SortedBlock) -> Iterator[Flows]:
        """Put the parts of all flows of a block into the table, those of one flow one after the other."""
        get = self._slots.get
        slots = np.array([get(h, -1) for h in block.group_hashes.tolist()], np.int64)
        cuts = Cuts(block, slots, self._state, self.options)
        yield self._give(slots[cuts.gone], cuts.gone_by, cuts.gone_us)
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

    def _allocate(self, block: SortedBlock, groups: Ints) -> Ints:
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
            first_to_go = np.lexsort((last, condition != UNANSWERED))[:surplus]
            self.account.note("flows_shed", surplus)
            yield self._give(left[first_to_go], np.full(surplus, SHED), np.full(surplus, now_us))

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


_NOTHING = np.empty(0, np.int64)


def _in_order(several: list[Flows]) -> Flows:
    flows = join_flows(several)
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


def _conditions(state: State, protocols: NDArray[Any], at: Ints) -> Ints:
    """Return which silence ends each flow: that of ended, of unanswered, or of idle ones."""
    flags, originator = state["flag_counts"], state["originator"][at].astype(np.int64)
    answered = state["size_count"][at, 1 - originator] > 0
    is_tcp = protocols[at] == TCP
    reset = state["reset_first"][at] >= 0
    closed = (flags[at, 0, 0] > 0) & (flags[at, 1, 0] > 0)
    waiting = ~answered & (~is_tcp | (flags[at, originator, 1] > 0))
    return np.select([is_tcp & (reset | closed), waiting], [ENDED, UNANSWERED], IDLE)


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


def no_flows() -> Flows:
    """Return flows without a row, for the columns that they have."""
    return FlowTable(Account()).flush()
