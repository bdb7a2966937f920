"""Write captures: whole arrays of made-up packets at once, or frames as they came, as pcap or pcapng."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from juggler.capture.frames import Ints, Octets
from juggler.capture.packets import TCP

SNAP_BYTES = 262_144


@dataclass(frozen=True)
class Segments:
    """TCP segments and UDP datagrams over IPv4 on Ethernet, one row each, to be written as frames.

    Attributes:
        times_ns: when each is sent.
        sources: IPv4 addresses, 32 bits.
        destinations: the same.
        protocol: 6 or 17.
        flags: TCP's, FIN is bit 0.
        payload_bytes: length of each payload, which is zeros.
        vlan: tag of each frame; 0 for none.
    """

    times_ns: Ints
    sources: Ints
    destinations: Ints
    source_port: Ints
    destination_port: Ints
    protocol: Ints
    flags: Ints
    payload_bytes: Ints
    vlan: Ints

    def __len__(self) -> int:
        return len(self.times_ns)


def pcap_header(link: int = 1, *, nanoseconds: bool = True) -> bytes:
    """Return the header of a little-endian pcap."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    return struct.pack("<IHHiIII", magic, 2, 4, 0, 0, SNAP_BYTES, link)


def write_segments(file: BinaryIO, segments: Segments) -> None:
    """Append segments to a nanosecond pcap of Ethernet frames; check sums of IP are right, others are 0."""
    n = len(segments)
    is_tcp = segments.protocol == TCP
    tagged = segments.vlan > 0
    transport = np.where(is_tcp, 20, 8)
    lengths = 14 + 4 * tagged + 20 + transport + segments.payload_bytes
    starts = np.concatenate([[0], np.cumsum(lengths + 16)])
    octets = np.zeros(int(starts[-1]), np.uint8)
    put = _Writer(octets)
    record = starts[:-1]
    put.little32(record, segments.times_ns // 1_000_000_000)
    put.little32(record + 4, segments.times_ns % 1_000_000_000)
    put.little32(record + 8, lengths)
    put.little32(record + 12, lengths)
    at = record + 16
    put.big(at, np.full(n, 0x0200), 2)
    put.big(at + 2, segments.destinations, 4)
    put.big(at + 6, np.full(n, 0x0200), 2)
    put.big(at + 8, segments.sources, 4)
    put.big(at[tagged] + 12, np.full(np.count_nonzero(tagged), 0x8100), 2)
    put.big(at[tagged] + 14, segments.vlan[tagged], 2)
    ip = at + 14 + 4 * tagged
    put.big(ip - 2, np.full(n, 0x0800), 2)
    _put_ipv4(put, ip, segments, 20 + transport + segments.payload_bytes)
    _put_transport(put, ip + 20, segments, is_tcp)
    file.write(octets.tobytes())


def _put_ipv4(put: _Writer, at: Ints, segments: Segments, total: Ints) -> None:
    n = len(at)
    put.big(at, np.full(n, 0x45), 1)
    put.big(at + 2, total, 2)
    put.big(at + 4, np.arange(n) & 0xFFFF, 2)
    put.big(at + 8, np.full(n, 64), 1)
    put.big(at + 9, segments.protocol, 1)
    put.big(at + 12, segments.sources, 4)
    put.big(at + 16, segments.destinations, 4)
    words = [0x4500, total, np.arange(n) & 0xFFFF, 0x4000 | segments.protocol]
    halves = [segments.sources >> 16, segments.sources, segments.destinations >> 16, segments.destinations]
    total_sum: Any = sum(np.asarray(word) for word in words) + sum(half & 0xFFFF for half in halves)
    for _ in range(2):
        total_sum = (total_sum & 0xFFFF) + (total_sum >> 16)
    put.big(at + 10, 0xFFFF - total_sum, 2)


def _put_transport(put: _Writer, at: Ints, segments: Segments, is_tcp: NDArray[np.bool_]) -> None:
    put.big(at, segments.source_port, 2)
    put.big(at + 2, segments.destination_port, 2)
    tcp = at[is_tcp]
    put.big(tcp + 12, np.full(len(tcp), 0x50), 1)
    put.big(tcp + 13, segments.flags[is_tcp], 1)
    put.big(tcp + 14, np.full(len(tcp), 0xFFFF), 2)
    put.big(at[~is_tcp] + 4, segments.payload_bytes[~is_tcp] + 8, 2)


class _Writer:
    """Put numbers at places of a block."""

    def __init__(self, octets: Octets) -> None:
        self._octets = octets

    def big(self, at: Ints, values: Ints, size: int) -> None:
        for step in range(size):
            self._octets[at + step] = values >> 8 * (size - 1 - step) & 0xFF

    def little32(self, at: Ints, values: Ints) -> None:
        for step in range(4):
            self._octets[at + step] = values >> 8 * step & 0xFF
