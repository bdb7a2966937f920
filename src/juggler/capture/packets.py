"""Packets: frames decoded down to the transport header, a whole block at once.

Every frame either becomes a packet or is dropped for a reason that is counted. Nothing is read beyond what
was captured: a header that is cut off makes its frame `truncated`.

Sources: RFC 791 (IPv4), RFC 8200 (IPv6), RFC 9293 (TCP), RFC 768 (UDP), RFC 792 and 4443 (ICMP), IEEE 802.1Q;
link types from the list of the tcpdump group.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from juggler.capture.frames import Account, Frames, Ints, Octets

TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))

ETHERNET, NULL, RAW, LOOP, SLL, IPV4, IPV6, SLL2 = 1, 0, 101, 108, 113, 228, 229, 276
_RAW = (RAW, 12, 14)
_VLAN = (0x8100, 0x88A8, 0x9100)
_MOST_TAGS, _MOST_EXTENSIONS = 4, 16
_NO_IP = {
    0x0806: "arp",
    0x8035: "rarp",
    0x88CC: "lldp",
    0x88B8: "goose",
    0x88BA: "sampled_values",
    0x8892: "profinet",
    0x88A4: "ethercat",
    0x8847: "mpls",
    0x8863: "pppoe",
    0x8864: "pppoe",
    0x888E: "eapol",
}
"""Reasons to drop a frame, by its ethertype."""


@dataclass(frozen=True)
class Packets:
    """IP packets of a block, one row each.

    Attributes:
        numbers: of the frame in the capture, from 1.
        times_ns: nanoseconds since 1970.
        version: 4 or 6.
        sources: `[n, 4]`, 32 bits each; an IPv4 address is the last of them, behind 0, 0, 0xffff (RFC 4291).
        destinations: the same.
        protocol: the number behind all extension headers.
        source_port: of TCP, UDP and SCTP; of ICMP the type; else 0.
        destination_port: of TCP, UDP and SCTP; of ICMP the code; else 0.
        tcp_flags: FIN is bit 0, CWR bit 7; 0 without TCP.
        frame_bytes: of the whole frame on the wire.
        ip_bytes: of the packet from its IP header on.
        transport_bytes: behind all IP headers, on the wire.
        payload_bytes: behind the transport header, on the wire; padding of the link is no part of it.
        payload_at: where the payload begins in the block's octets.
        payload_captured: how many of its bytes were captured.
        vlan: the innermost VLAN, 0 without a tag.
        fragment: offset of a fragment in bytes; 0 for the first and for whole packets.
        more_fragments: whether more follow.
        identification: of the fragment.
    """

    numbers: Ints
    times_ns: Ints
    version: Ints
    sources: NDArray[np.uint32]
    destinations: NDArray[np.uint32]
    protocol: Ints
    source_port: Ints
    destination_port: Ints
    tcp_flags: Ints
    frame_bytes: Ints
    ip_bytes: Ints
    transport_bytes: Ints
    payload_bytes: Ints
    payload_at: Ints
    payload_captured: Ints
    vlan: Ints
    fragment: Ints
    more_fragments: NDArray[np.bool_]
    identification: Ints

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, at: NDArray[Any]) -> Self:
        """Return the packets at places, or where a mask is true."""
        return type(self)(**{field.name: getattr(self, field.name)[at] for field in fields(self)})


class _Reader:
    """Read big-endian numbers at places of a block."""

    def __init__(self, octets: Octets) -> None:
        self._octets, self._last = octets, len(octets) - 4

    def u8(self, at: Ints) -> Ints:
        return self._octets[np.minimum(at, self._last)].astype(np.int64)

    def u16(self, at: Ints) -> Ints:
        at = np.minimum(at, self._last)
        return self._octets[at].astype(np.int64) << 8 | self._octets[at + 1]

    def u32(self, at: Ints) -> Ints:
        return self.u16(at) << 16 | self.u16(at + 2)

    def words(self, at: Ints) -> NDArray[np.uint32]:
        """Return four times 32 bits, `[n, 4]`."""
        return np.stack([self.u32(at + step) for step in (0, 4, 8, 12)], axis=1).astype(np.uint32)


def decode(frames: Frames, account: Account) -> Packets:
    """Return the IP packets of a block; count in the account what is none, and why.

    Packets that come out are not counted as processed: that is for whoever puts them into flows.
    """
    read = _Reader(frames.octets)
    left = _Left(frames, account)
    ip_at, ethertype, vlan = _network_layer(read, frames)
    ends = frames.starts + frames.captured
    left.keep(ethertype >= 0, "unsupported_link")
    left.keep(ip_at[left.at] <= ends[left.at], "truncated")
    for kind in np.unique(ethertype[left.at]).tolist():
        if kind not in {0x0800, 0x86DD}:
            reason = _NO_IP.get(kind, "llc" if kind < 1536 else "other_ethertype")
            left.keep(ethertype[left.at] != kind, reason)
    left.keep(ends[left.at] - ip_at[left.at] >= 1, "truncated")
    version = read.u8(ip_at[left.at]) >> 4
    stated = ethertype[left.at]
    left.keep(np.where(stated == 0x0800, version == 4, version == 6), "bad_ip_header")
    at = left.at
    four = ethertype[at] == 0x0800
    heads = [
        _ipv4(read, frames, ip_at[at[four]], at[four]),
        _ipv6(read, frames, ip_at[at[~four]], at[~four]),
    ]
    network = {key: np.concatenate([head[key] for head in heads]) for key in heads[0]}
    order = np.argsort(network["row"], kind="stable")
    network = {key: values[order] for key, values in network.items()}
    for fault in ("truncated", "bad_ip_header", "ipv6_chain_too_long"):
        bad = network["fault"] == _FAULTS.index(fault)
        account.drop(fault, np.count_nonzero(bad))
    network = {key: values[network["fault"] == 0] for key, values in network.items()}
    return _transport(read, frames, network, vlan[network["row"]], account)


_FAULTS = ("", "truncated", "bad_ip_header", "ipv6_chain_too_long")


class _Left:
    """The frames of a block that are still frames of a packet."""

    def __init__(self, frames: Frames, account: Account) -> None:
        self.at, self._account = np.arange(len(frames)), account

    def keep(self, good: NDArray[np.bool_], reason: str) -> None:
        self._account.drop(reason, np.count_nonzero(~good))
        self.at = self.at[good]


def _network_layer(read: _Reader, frames: Frames) -> tuple[Ints, Ints, Ints]:
    """Return where each network header begins, its ethertype (-1 for a link that is not known), its VLAN."""
    at, links = frames.starts.copy(), frames.links
    ethertype = np.full(len(at), -1, np.int64)
    vlan = np.zeros(len(at), np.int64)
    for link in np.unique(links).tolist():
        rows = np.flatnonzero(links == link)
        start = at[rows]
        if link == ETHERNET:
            ethertype[rows], at[rows] = read.u16(start + 12), start + 14
        elif link == SLL:
            ethertype[rows], at[rows] = read.u16(start + 14), start + 16
        elif link == SLL2:
            ethertype[rows], at[rows] = read.u16(start), start + 20
        elif link in _RAW or link in {IPV4, IPV6}:
            ethertype[rows] = np.where(read.u8(start) >> 4 == 6, 0x86DD, 0x0800)
        elif link in {NULL, LOOP}:
            # The family stands in the byte order of the machine that captured; all of them are below 256.
            family = np.maximum(read.u8(start), read.u8(start + 3))
            ethertype[rows] = np.select(
                [family == 2, np.isin(family, (10, 24, 28, 30))], [0x0800, 0x86DD], 1536
            )
            at[rows] = start + 4
    for _ in range(_MOST_TAGS):
        tagged = np.flatnonzero(np.isin(ethertype, _VLAN))
        if not tagged.size:
            break
        vlan[tagged] = read.u16(at[tagged]) & 0xFFF
        ethertype[tagged] = read.u16(at[tagged] + 2)
        at[tagged] += 4
    return at, ethertype, vlan


Head = dict[str, NDArray[Any]]


def _ipv4(read: _Reader, frames: Frames, at: Ints, rows: Ints) -> Head:
    ends = frames.starts[rows] + frames.captured[rows]
    header = (read.u8(at) & 15) * 4
    total = read.u16(at + 2)
    on_wire = frames.starts[rows] + frames.lengths[rows] - at
    # Segmentation offload leaves the length at 0: the packet then ends with the frame.
    total = np.where(total == 0, on_wire, total)
    fragment = read.u16(at + 6)
    fault = np.select([ends - at < 20, (header < 20) | (total < header), ends - at < header], [1, 2, 1], 0)
    addresses = np.zeros((2, len(at), 4), np.uint32)
    addresses[:, :, 2] = 0xFFFF
    addresses[0, :, 3], addresses[1, :, 3] = read.u32(at + 12), read.u32(at + 16)
    return {
        "row": rows,
        "fault": fault,
        "version": np.full(len(at), 4),
        "sources": addresses[0],
        "destinations": addresses[1],
        "protocol": read.u8(at + 9),
        "transport_at": at + header,
        "ip_end": at + total,
        "ip_bytes": total,
        "fragment": (fragment & 0x1FFF) * 8,
        "more": (fragment & 0x2000) > 0,
        "identification": read.u16(at + 4),
    }


def _ipv6(read: _Reader, frames: Frames, at: Ints, rows: Ints) -> Head:
    ends = frames.starts[rows] + frames.captured[rows]
    payload = read.u16(at + 4)
    on_wire = frames.starts[rows] + frames.lengths[rows] - at - 40
    payload = np.where(payload == 0, np.maximum(on_wire, 0), payload)  # jumbograms and offload
    fault = np.where(ends - at < 40, 1, 0)
    protocol, place = read.u8(at + 6), at + 40
    fragment, more = np.zeros(len(at), np.int64), np.zeros(len(at), bool)
    identification = np.zeros(len(at), np.int64)
    for step in range(_MOST_EXTENSIONS + 1):
        # Behind a later fragment's own header lies data, whatever it says.
        chained = (fault == 0) & np.isin(protocol, (0, 43, 44, 51, 60, 135)) & (fragment == 0)
        if not chained.any():
            break
        fault[chained & (ends - place < 8)] = 1
        if step == _MOST_EXTENSIONS:
            fault[chained] = 3
        chained &= fault == 0
        length = np.select(
            [protocol == 44, protocol == 51], [8, (read.u8(place + 1) + 2) * 4], (read.u8(place + 1) + 1) * 8
        )
        cut = chained & (protocol == 44)
        offset = read.u16(place + 2)
        fragment[cut], more[cut] = (offset & 0xFFF8)[cut], ((offset & 1) > 0)[cut]
        identification[cut] = read.u32(place + 4)[cut]
        following = read.u8(place)
        protocol = np.where(chained, following, protocol)
        place = np.where(chained, place + length, place)
    fault[(fault == 0) & (place > at + 40 + payload)] = 2
    return {
        "row": rows,
        "fault": fault,
        "version": np.full(len(at), 6),
        "sources": read.words(at + 8),
        "destinations": read.words(at + 24),
        "protocol": protocol,
        "transport_at": place,
        "ip_end": at + 40 + payload,
        "ip_bytes": payload + 40,
        "fragment": fragment,
        "more": more,
        "identification": identification,
    }


def _transport(read: _Reader, frames: Frames, head: Head, vlan: Ints, account: Account) -> Packets:
    rows, at, protocol = head["row"], head["transport_at"], head["protocol"]
    captured = frames.starts[rows] + frames.captured[rows] - at
    room = head["ip_end"] - at
    first = head["fragment"] == 0
    is_tcp, is_udp = first & (protocol == TCP), first & np.isin(protocol, (UDP, SCTP))
    is_icmp = first & np.isin(protocol, (ICMP, ICMP6))
    needs = np.select([is_tcp, is_udp, is_icmp], [20, 8, 8], 0)
    offset = np.where(is_tcp, (read.u8(at + 12) >> 4) * 4, needs)
    truncated = captured < needs
    bad = ~truncated & ((room < needs) | (is_tcp & ((offset < 20) | (offset > room))))
    account.drop("truncated", np.count_nonzero(truncated))
    account.drop("bad_transport_header", np.count_nonzero(bad))
    good = ~truncated & ~bad
    ported = is_tcp | is_udp
    payload_at = at + offset
    packets = Packets(
        numbers=frames.first_number + rows,
        times_ns=frames.times_ns[rows],
        version=head["version"],
        sources=head["sources"],
        destinations=head["destinations"],
        protocol=protocol,
        source_port=np.select([ported, is_icmp], [read.u16(at), read.u8(at)], 0),
        destination_port=np.select([ported, is_icmp], [read.u16(at + 2), read.u8(at + 1)], 0),
        tcp_flags=np.where(is_tcp, read.u8(at + 13), 0),
        frame_bytes=frames.lengths[rows],
        ip_bytes=head["ip_bytes"],
        transport_bytes=np.maximum(room, 0),
        payload_bytes=np.maximum(room - offset, 0),
        payload_at=payload_at,
        payload_captured=np.clip(np.minimum(captured, room) - offset, 0, None),
        vlan=vlan,
        fragment=head["fragment"],
        more_fragments=head["more"],
        identification=head["identification"],
    )
    return packets.take(good)
