"""What is known of a flow while it lasts: columns of whole numbers, and how parts of a flow are joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from juggler.capture.frames import Ints
from juggler.capture.runs import NEVER, Spread, spread

FIRST_SIZES = 8
"""Packets at the beginning of a flow whose sizes are kept one by one."""

Merge = Literal["add", "min", "max", "or", "first", "last"]
State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Field:
    """A column: its shape behind the flow, how parts are merged, and what it is before any packet."""

    merge: Merge
    empty: int = 0
    shape: tuple[int, ...] = ()
    dtype: type = np.int64


_SIDES = (2,)


def _spread_fields(name: str, shape: tuple[int, ...]) -> dict[str, Field]:
    return {
        f"{name}_count": Field("add", 0, shape, np.int32),
        f"{name}_total": Field("add", 0, shape),
        f"{name}_squares_low": Field("add", 0, shape),
        f"{name}_squares_high": Field("add", 0, shape),
        f"{name}_least": Field("min", NEVER, shape),
        f"{name}_most": Field("max", -1, shape),
    }


FIELDS: dict[str, Field] = {
    "start_us": Field("first"),
    "start_ns": Field("first"),
    "last_us": Field("last"),
    "first_number": Field("first"),
    "last_number": Field("last"),
    "originator": Field("first", -1, (), np.int8),
    "side_first_us": Field("min", NEVER, _SIDES),
    "side_last_us": Field("max", -1, _SIDES),
    **_spread_fields("size", _SIDES),
    "payload_bytes": Field("add", 0, _SIDES),
    **_spread_fields("side_gap", _SIDES),
    **_spread_fields("gap", ()),
    "flag_counts": Field("add", 0, (2, 8), np.int32),
    "reset_first": Field("first", -1, (), np.int8),
    "wrong_fragments": Field("add", 0, (), np.int32),
    "transport_bytes": Field("add", 0, _SIDES),
    "icmp_type": Field("first", 0, (), np.int16),
    "icmp_code": Field("first", 0, (), np.int16),
}
"""Sides are 0 for the lower endpoint of the key, 1 for the higher; sizes are bytes from the IP header on."""


def empty_state(flows: int) -> State:
    """Return the columns of flows without packets."""
    return {name: np.full((flows, *field.shape), field.empty, field.dtype) for name, field in FIELDS.items()}


@dataclass(frozen=True)
class Sorted:
    """Packets of a block, those of a flow together and in their order.

    Attributes:
        times_us: forward times in microseconds.
        times_ns: the capture's own, in nanoseconds.
        side: 0 where the lower endpoint sends, 1 where the higher one does.
        wrong: whether it is a wrong fragment.
    """

    numbers: Ints
    times_us: Ints
    times_ns: Ints
    side: Ints
    sizes: Ints
    transport_bytes: Ints
    payload_bytes: Ints
    icmp_type: Ints
    icmp_code: Ints
    flags: Ints
    wrong: NDArray[np.bool_]


def parts(packets: Sorted, starts: Ints, originators: Ints) -> State:
    """Return the state of each part of a flow, a part being the packets from one start to the next.

    Args:
        packets: sorted.
        starts: `[parts]`, where each part begins, from 0.
        originators: `[parts]`, the side that opened the flow.
    """
    count, n = len(starts), len(packets.sizes)
    part = np.repeat(np.arange(count), np.diff(starts, append=n))
    state = empty_state(count)
    ends = np.append(starts[1:], n) - 1
    state["start_us"], state["start_ns"] = packets.times_us[starts], packets.times_ns[starts]
    state["last_us"] = packets.times_us[ends]
    state["first_number"], state["last_number"] = packets.numbers[starts], packets.numbers[ends]
    state["icmp_type"], state["icmp_code"] = packets.icmp_type[starts], packets.icmp_code[starts]
    state["originator"] = originators.astype(np.int8)
    if packets.wrong.any():
        np.add.at(state["wrong_fragments"], part[packets.wrong], 1)
    gaps = np.diff(packets.times_us, prepend=0)
    inside = np.ones(n, bool)
    inside[starts] = False
    _put(state, "gap", slice(None), spread(np.where(inside, gaps, 0), starts, inside))
    resets = np.flatnonzero(packets.flags & 4)
    if resets.size:
        first_of, at = np.unique(part[resets], return_index=True)
        state["reset_first"][first_of] = packets.side[resets[at]]
    _put_sides(state, packets, part)
    return state


def _put_sides(state: State, packets: Sorted, part: Ints) -> None:
    """Fill in what each side of each part sent."""
    order = np.argsort(part * 2 + packets.side, kind="stable")
    run = (part * 2 + packets.side)[order]
    starts = np.flatnonzero(np.diff(run, prepend=-1))
    at = (run[starts] // 2, run[starts] % 2)
    times, ends = packets.times_us[order], np.append(starts[1:], len(run)) - 1
    state["side_first_us"][at], state["side_last_us"][at] = times[starts], times[ends]
    _put(state, "size", at, spread(packets.sizes[order], starts))
    state["payload_bytes"][at] = np.add.reduceat(packets.payload_bytes[order], starts)
    state["transport_bytes"][at] = np.add.reduceat(packets.transport_bytes[order], starts)
    inside = np.ones(len(run), bool)
    inside[starts] = False
    gaps = np.where(inside, np.diff(times, prepend=0), 0)
    _put(state, "side_gap", at, spread(gaps, starts, inside))
    flags = packets.flags[order]
    if flags.any():
        bits = (flags[:, None] >> np.arange(8) & 1).astype(np.int32)
        state["flag_counts"][at] = np.add.reduceat(bits, starts, axis=0)


def _put(state: State, name: str, at: Any, values: Spread) -> None:
    for field in ("count", "total", "squares_low", "squares_high", "least", "most"):
        state[f"{name}_{field}"][at] = getattr(values, field)


def merged(before: State, after: State) -> State:
    """Return the states of flows of which two parts are known, the gap between them included."""
    result: State = {}
    for name, field in FIELDS.items():
        first, last = before[name], after[name]
        match field.merge:
            case "add":
                result[name] = first + last
            case "min":
                result[name] = np.minimum(first, last)
            case "max":
                result[name] = np.maximum(first, last)
            case "or":
                result[name] = first | last
            case "first":
                result[name] = np.where(first < 0, last, first) if field.empty < 0 else first
            case "last":
                result[name] = last
    _add_gap(result, "gap", after["start_us"] - before["last_us"], np.ones(len(after["start_us"]), bool))
    both = (before["size_count"] > 0) & (after["size_count"] > 0)
    between = np.where(both, after["side_first_us"] - before["side_last_us"], 0)
    _add_gap(result, "side_gap", between, both)
    return result


def _add_gap(state: State, name: str, gaps: Ints, counted: NDArray[np.bool_]) -> None:
    squares = gaps.astype(np.uint64) ** np.uint64(2)
    state[f"{name}_count"] = state[f"{name}_count"] + counted.astype(np.int32)
    state[f"{name}_total"] = state[f"{name}_total"] + gaps
    state[f"{name}_squares_low"] = state[f"{name}_squares_low"] + (squares & np.uint64(0xFFFFFFFF)).astype(
        np.int64
    )
    state[f"{name}_squares_high"] = state[f"{name}_squares_high"] + (squares >> np.uint64(32)).astype(
        np.int64
    )
    state[f"{name}_least"] = np.minimum(state[f"{name}_least"], np.where(counted, gaps, NEVER))
    state[f"{name}_most"] = np.maximum(state[f"{name}_most"], np.where(counted, gaps, -1))
