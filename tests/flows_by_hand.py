"""Flows put together packet by packet with dictionaries: slow, plain, and no code of the room's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

SERVERS = {1502, 2222, 2404, 4840, 20000, 34962, 34963, 34964, 44818, 47808}


@dataclass(frozen=True)
class Packet:
    time_us: int
    source: tuple[str, int]
    destination: tuple[str, int]
    protocol: int
    flags: str
    payload: int
    size: int


@dataclass
class Flow:
    source: tuple[str, int]
    destination: tuple[str, int]
    protocol: int
    packets: list[tuple[int, Packet]] = field(default_factory=list)
    ended_by: str = ""
    ended_us: int = 0

    def side(self, packet: Packet) -> int:
        return 0 if (packet.source, packet.destination) == (self.source, self.destination) else 1

    @property
    def last_us(self) -> int:
        return self.packets[-1][1].time_us

    def timeout(self) -> str:
        sides = {self.side(p) for _, p in self.packets}
        if self.protocol == 6:
            closed = {self.side(p) for _, p in self.packets if "F" in p.flags}
            if closed == {0, 1} or any("R" in p.flags for _, p in self.packets):
                return "ended"
            opened = any("S" in p.flags and self.side(p) == 0 for _, p in self.packets)
            return "unanswered" if 1 not in sides and opened else "idle"
        return "idle" if 1 in sides else "unanswered"

    def spread(self, side: int | None) -> dict[str, object]:
        chosen = [p for _, p in self.packets if side is None or self.side(p) == side]
        sizes = [p.size for p in chosen]
        gaps = [b.time_us - a.time_us for a, b in pairwise(chosen)]
        return {"sizes": sizes, "gaps": gaps, "payload": sum(p.payload for p in chosen)}


Key = tuple[object, ...]


class Table:
    """The flows that are open, and those that have ended."""

    def __init__(self, silences: dict[str, int], active_us: int) -> None:
        self.silences, self.active_us = silences, active_us
        self.open: dict[Key, Flow] = {}
        self.ended: list[Flow] = []

    def end(self, key: Key, why: str, when: int) -> None:
        flow = self.open.pop(key)
        flow.ended_by, flow.ended_us = why, when
        self.ended.append(flow)

    def expire(self, now_us: int) -> None:
        for key, flow in list(self.open.items()):
            silence = self.silences[flow.timeout()]
            if now_us - flow.last_us >= silence:
                self.end(key, flow.timeout(), flow.last_us + silence)

    def take(self, number: int, packet: Packet) -> None:
        key = (packet.protocol, *sorted([packet.source, packet.destination]))
        self.expire(packet.time_us)
        pure_syn = "S" in packet.flags and "A" not in packet.flags
        flow = self.open.get(key)
        if flow is not None:
            if flow.timeout() == "ended" and pure_syn:
                self.end(key, "reused", packet.time_us)
            elif packet.time_us - flow.packets[0][1].time_us > self.active_us:
                self.end(key, "active", packet.time_us)
        if key not in self.open:
            ends = [packet.source, packet.destination]
            server = [port < 1024 or port in SERVERS for _, port in ends]
            if {"S", "A"} <= {*packet.flags} or (server == [True, False] and not pure_syn):
                ends.reverse()
            self.open[key] = Flow(ends[0], ends[1], packet.protocol)
        self.open[key].packets.append((number, packet))


def flows_by_hand(packets: Sequence[Packet], silences: dict[str, int], active_us: int) -> list[Flow]:
    """Return the flows in the order in which they end; times are forward already."""
    table = Table(silences, active_us)
    for number, packet in enumerate(packets, 1):
        table.take(number, packet)
    last = packets[-1].time_us if packets else 0
    table.expire(last)
    table.ended.sort(key=lambda flow: (flow.ended_us, flow.packets[0][0]))
    rest = sorted(table.open.values(), key=lambda flow: flow.packets[0][0])
    for flow in rest:
        flow.ended_by, flow.ended_us = "flushed", last
    return table.ended + rest
