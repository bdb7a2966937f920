import io
import struct

import dpkt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler.capture.files import frames_of
from juggler.capture.frames import Account
from juggler.capture.packets import Packets, decode
from made_up_captures import BEGIN_NS, Frame, ethernet, icmp, ip, pcap, tcp, udp

V4, V6 = ("10.0.0.1", "192.168.7.9"), ("fd00::1", "2001:db8::ff")


def decoded(*frames: bytes, link: int = 1, snap: int = 65_535) -> tuple[Packets, Account]:
    account = Account()
    (block,) = frames_of(
        io.BytesIO(pcap([Frame(f, BEGIN_NS) for f in frames], link=link, snap=snap)), account
    )
    packets = decode(block, account)
    assert account.received == len(packets) + account.dropped.total()
    return packets, account


def row(packets: Packets, at: int = 0) -> dict[str, int]:
    names = ("version", "protocol", "source_port", "destination_port", "tcp_flags", "payload_bytes", "vlan")
    return {name: int(getattr(packets, name)[at]) for name in names}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([V4, V6]),
    st.sampled_from(["tcp", "udp", "icmp"]),
    st.tuples(st.integers(0, 65_535), st.integers(0, 65_535)),
    st.integers(0, 63),
    st.binary(max_size=80),
    st.lists(st.integers(1, 4094), max_size=3),
)
def test_frames_decode_as_dpkt_decodes_them(hosts, kind, ports, bits, payload, vlans):  # noqa: PLR0917
    flags = "".join(letter for bit, letter in enumerate("FSRPAU") if bits >> bit & 1)
    packet = {
        "tcp": lambda: tcp(*hosts, ports, flags, payload),
        "udp": lambda: udp(*hosts, ports, payload),
        "icmp": lambda: icmp(*hosts, ports[0] & 255, ports[1] & 255, payload),
    }[kind]()
    packets, _ = decoded(ethernet(packet, vlans=vlans))
    theirs = (dpkt.ip6.IP6 if ":" in hosts[0] else dpkt.ip.IP)(packet)
    source = theirs.src if ":" in hosts[0] else bytes(10) + b"\xff\xff" + theirs.src
    assert packets.sources[0].astype(">u4").tobytes() == source
    inner = theirs.data
    assert row(packets) == {
        "version": 6 if ":" in hosts[0] else 4,
        "protocol": theirs.nxt if ":" in hosts[0] else theirs.p,
        "source_port": inner.type if kind == "icmp" else inner.sport,
        "destination_port": inner.code if kind == "icmp" else inner.dport,
        "tcp_flags": bits if kind == "tcp" else 0,
        "payload_bytes": len(payload),
        "vlan": vlans[-1] if vlans else 0,
    }
    assert int(packets.ip_bytes[0]) == len(packet)  # the padding of Ethernet is no part of it
    assert int(packets.payload_captured[0]) == len(payload)


SLL = bytes(14) + b"\x08\x00"
SLL2 = b"\x08\x00" + bytes(18)


@pytest.mark.parametrize(
    ("link", "head"),
    [
        (1, bytes(12) + b"\x08\x00"),
        (101, b""),
        (12, b""),
        (228, b""),
        (0, b"\x02\0\0\0"),
        (0, b"\0\0\0\x02"),
        (108, b"\0\0\0\x02"),
        (113, SLL),
        (276, SLL2),
        (1, bytes(12) + b"\x88\xa8\x00\x05\x81\x00\x00\x07\x08\x00"),
    ],
)
def test_every_link_type_leads_to_the_packet(link, head):
    packets, account = decoded(head + tcp(*V4, (502, 40_000), "SA"), link=link)
    assert row(packets)["destination_port"] == 40_000 and not account.dropped


def v6_with(chain: list[tuple[int, bytes]], last: int, data: bytes) -> bytes:
    """Return an IPv6 packet with extension headers: the number and the body of each."""
    numbers = [number for number, _ in chain] + [last]
    body = b"".join(
        bytes([following]) + head for following, (_, head) in zip(numbers[1:], chain, strict=True)
    )
    return ethernet(ip(*V6, numbers[0], body + data))


TCP_HEAD = struct.pack("!HHIIBBHHH", 1, 2, 0, 0, 0x50, 2, 0, 0, 0)
OPTIONS = (0, b"\x00" + bytes(6))  # hop by hop, 8 bytes
ROUTING = (43, b"\x02" + bytes(22))  # 24 bytes
AUTHENTICATION = (51, b"\x04" + bytes(22))  # (4 + 2) * 4 bytes


@pytest.mark.parametrize(
    "chain",
    [[OPTIONS], [OPTIONS, ROUTING], [ROUTING, AUTHENTICATION, (60, b"\x00" + bytes(6))], [OPTIONS] * 16],
)
def test_extension_headers_are_walked(chain):
    packets, _ = decoded(v6_with(chain, 6, TCP_HEAD + b"abc"))
    assert row(packets) == {
        "version": 6, "protocol": 6, "source_port": 1, "destination_port": 2, "tcp_flags": 2,
        "payload_bytes": 3, "vlan": 0,
    }  # fmt: skip


GOOD = ethernet(tcp(*V4, (1, 2), "S"))


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (ethernet(bytes(46), kind=0x0806), "arp"),
        (ethernet(bytes(46), kind=0x88B8), "goose"),
        (ethernet(bytes(46), kind=0x0026), "llc"),
        (ethernet(bytes(46), kind=0x9999), "other_ethertype"),
        (b"\x02" * 9, "truncated"),
        (GOOD[:20], "truncated"),
        (GOOD[:40], "truncated"),
        (ethernet(b"\x55" + bytes(40), kind=0x0800), "bad_ip_header"),
        (ethernet(b"\x42" + bytes(40), kind=0x0800), "bad_ip_header"),
        (ethernet(b"\x45\0\0\x05" + bytes(40), kind=0x0800), "bad_ip_header"),
        (ethernet(ip(*V4, 6, TCP_HEAD[:12])), "bad_transport_header"),
        (ethernet(ip(*V4, 6, TCP_HEAD[:12] + b"\x20" + TCP_HEAD[13:])), "bad_transport_header"),
        (ethernet(ip(*V4, 17, b"1234")), "bad_transport_header"),
        (v6_with([OPTIONS] * 17, 6, TCP_HEAD), "ipv6_chain_too_long"),
        (v6_with([(0, b"\xff" + bytes(6))], 6, TCP_HEAD), "bad_ip_header"),
    ],
)
def test_what_is_no_packet_is_dropped_by_its_reason(frame, reason):
    packets, account = decoded(GOOD, frame, GOOD)
    assert dict(account.dropped) == {reason: 1}
    assert packets.numbers.tolist() == [1, 3]


def test_a_link_type_that_is_not_known_is_counted():
    _, account = decoded(GOOD, GOOD, link=147)
    assert dict(account.dropped) == {"unsupported_link": 2}


def test_a_short_snap_length_costs_the_payload_alone():
    packets, account = decoded(ethernet(tcp(*V4, (1, 2), "P", bytes(1000))), snap=96)
    assert not account.dropped
    assert int(packets.payload_bytes[0]) == 1000 and int(packets.payload_captured[0]) == 96 - 54


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=120), min_size=1, max_size=20), st.sampled_from([0, 1, 101, 113, 276, 5]))
def test_any_bytes_are_accounted_for(frames, link):
    packets, _ = decoded(*frames, link=link)
    ends = packets.payload_at + packets.payload_captured
    assert (packets.payload_captured >= 0).all() and (packets.payload_bytes >= 0).all()
    assert (ends <= sum(map(len, frames)) + 16 * len(frames) + 64).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 53), st.binary(min_size=1, max_size=8), st.sampled_from([V4, V6]))
def test_a_damaged_header_never_makes_a_payload_out_of_thin_air(at, junk, hosts):
    frame = bytearray(ethernet(tcp(*hosts, (80, 5000), "PA", b"x" * 30)))
    frame[at : at + len(junk)] = junk
    packets, _ = decoded(bytes(frame))
    assert (packets.payload_captured <= len(frame)).all()
    assert np.isin(packets.version, (4, 6)).all()
