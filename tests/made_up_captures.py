"""Captures that the tests make up: frames by dpkt, which shares no code with ours, and files around them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dpkt  # type: ignore[import-untyped]

SECOND = 1_000_000_000
BEGIN_NS = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Frame:
    """A frame and when it was captured."""

    octets: bytes
    time_ns: int
    wire_bytes: int | None = None


def tcp(
    source: str,
    destination: str,
    ports: tuple[int, int],
    flags: str = "",
    payload: bytes = b"",
    *,
    urgent: bool = False,
) -> bytes:
    """Return a TCP segment within an IP packet; flags by their first letters: S, A, F, R, P."""
    bits = sum({"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}[flag] for flag in flags)
    segment = dpkt.tcp.TCP(sport=ports[0], dport=ports[1], flags=bits, data=payload)
    return ip(source, destination, 6, segment)


def udp(source: str, destination: str, ports: tuple[int, int], payload: bytes = b"") -> bytes:
    """Return a UDP datagram within an IP packet."""
    datagram = dpkt.udp.UDP(sport=ports[0], dport=ports[1], data=payload, ulen=8 + len(payload))
    return ip(source, destination, 17, datagram)


def icmp(source: str, destination: str, kind: int, code: int = 0, payload: bytes = b"") -> bytes:
    """Return an ICMP message within an IP packet."""
    return ip(
        source, destination, 58 if ":" in source else 1, struct.pack("!BBHHH", kind, code, 0, 7, 1) + payload
    )


def ip(source: str, destination: str, protocol: int, data: Any) -> bytes:
    """Return an IPv4 or IPv6 packet."""
    if ":" in source:
        packet = dpkt.ip6.IP6(nxt=protocol, hlim=64, data=data, plen=len(bytes(data)))
        packet.src, packet.dst = (socket.inet_pton(socket.AF_INET6, a) for a in (source, destination))
        return bytes(packet)
    packet = dpkt.ip.IP(p=protocol, ttl=64, data=data)
    packet.src, packet.dst = socket.inet_aton(source), socket.inet_aton(destination)
    packet.len = len(packet)
    return bytes(packet)


def ethernet(packet: bytes, *, vlans: Sequence[int] = (), kind: int | None = None) -> bytes:
    """Return a frame around an IP packet, padded as Ethernet pads."""
    kind = kind if kind is not None else (0x86DD if packet[0] >> 4 == 6 else 0x0800)
    tags = b"".join(struct.pack("!HH", 0x8100, vlan) for vlan in vlans)
    return (b"\x02" * 12 + tags + struct.pack("!H", kind) + packet).ljust(60, b"\0")


def pcap(
    frames: Sequence[Frame], *, order: str = "<", nanoseconds: bool = False, link: int = 1, snap: int = 65_535
) -> bytes:
    """Return a classic pcap."""
    out = [struct.pack(order + "IHHiIII", 0xA1B23C4D if nanoseconds else 0xA1B2C3D4, 2, 4, 0, 0, snap, link)]
    for frame in frames:
        seconds, rest = divmod(frame.time_ns, SECOND)
        octets = frame.octets[:snap]
        fraction = rest if nanoseconds else rest // 1000
        wire = len(frame.octets) if frame.wire_bytes is None else frame.wire_bytes
        out += [struct.pack(order + "IIII", seconds, fraction, len(octets), wire), octets]
    return b"".join(out)


def pcapng_block(order: str, kind: int, body: bytes) -> bytes:
    """Return a block of a pcapng."""
    body += b"\0" * (-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def pcapng(
    frames: Sequence[Frame], *, order: str = "<", resolution: int = 9, link: int = 1, kind: int = 6
) -> bytes:
    """Return a pcapng of one section and one interface."""
    out = [pcapng_block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
    option = struct.pack(order + "HHB3x", 9, 1, resolution)
    out.append(pcapng_block(order, 1, struct.pack(order + "HHI", link, 0, 0) + option + bytes(4)))
    out.append(pcapng_block(order, 5, bytes(12)))  # statistics, which hold no frame
    for frame in frames:
        stamp = frame.time_ns // 10 ** (9 - resolution)
        if kind == 3:
            body = struct.pack(order + "I", len(frame.octets)) + frame.octets
        else:
            head = (0,) if kind == 6 else (0, 0)
            body = struct.pack(
                order + ("I" if kind == 6 else "HH") + "IIII",
                *head,
                stamp >> 32,
                stamp & 0xFFFFFFFF,
                len(frame.octets),
                len(frame.octets),
            )
            body += frame.octets
        out.append(pcapng_block(order, kind, body))
    return b"".join(out)
