import io
import socket

import dpkt  # type: ignore[import-untyped]
import numpy as np

from juggler.capture.files import frames_of
from juggler.capture.frames import Account
from juggler.capture.packets import decode
from juggler.capture.writing import Segments, pcap_header, write_segments


def made_up(n: int = 200) -> Segments:
    draw = np.random.default_rng(4)
    return Segments(
        times_ns=1_700_000_000_123_456_789 + np.arange(n) * 1_000_003,
        sources=draw.integers(0, 1 << 32, n),
        destinations=draw.integers(0, 1 << 32, n),
        source_port=draw.integers(0, 65_536, n),
        destination_port=draw.integers(0, 65_536, n),
        protocol=draw.choice([6, 17], n),
        flags=draw.integers(0, 64, n),
        payload_bytes=draw.integers(0, 300, n),
        vlan=draw.choice([0, 0, 7], n),
    )


def test_what_is_written_is_read_by_dpkt_and_by_this_room():
    file, segments = io.BytesIO(pcap_header()), made_up()
    file.seek(0, io.SEEK_END)
    write_segments(file, segments)
    file.seek(0)
    theirs = list(dpkt.pcap.Reader(file))
    assert len(theirs) == len(segments)
    for i, (_, octets) in enumerate(theirs):
        packet = dpkt.ethernet.Ethernet(octets).data
        assert packet.src == int(segments.sources[i]).to_bytes(4, "big")
        assert socket.inet_ntoa(packet.dst) == socket.inet_ntoa(
            int(segments.destinations[i]).to_bytes(4, "big")
        )
        assert (packet.data.sport, packet.data.dport) == (
            segments.source_port[i],
            segments.destination_port[i],
        )
        written = packet.sum
        packet.sum = 0
        assert dpkt.ip.IP(bytes(packet)).sum == written  # its own check sum, made anew
    file.seek(0)
    (block,) = frames_of(file, Account())
    packets = decode(block, Account())
    assert np.array_equal(block.times_ns, segments.times_ns)
    assert np.array_equal(packets.payload_bytes, segments.payload_bytes)
    assert np.array_equal(packets.tcp_flags, np.where(segments.protocol == 6, segments.flags, 0))
    assert np.array_equal(packets.vlan, segments.vlan)
