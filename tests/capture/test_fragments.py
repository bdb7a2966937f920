import io

from juggler.capture.files import frames_of
from juggler.capture.fragments import MOST_PACKETS, FragmentTable
from juggler.capture.frames import Account
from juggler.capture.packets import Packets, decode
from made_up_captures import BEGIN_NS, Frame, ethernet, ip, pcap, udp


def fragment(identification: int, offset: int, more: bool) -> bytes:
    datagram = udp("10.0.0.1", "10.0.0.2", (53, 4000), bytes(100))[20:]
    packet = bytearray(ip("10.0.0.1", "10.0.0.2", 17, datagram[offset : offset + 48]))
    packet[4:6] = identification.to_bytes(2, "big")
    packet[6:8] = (offset // 8 | (0x2000 if more else 0)).to_bytes(2, "big")
    return ethernet(bytes(packet))


def packets(*frames: bytes) -> Packets:
    (block,) = frames_of(io.BytesIO(pcap([Frame(frame, BEGIN_NS) for frame in frames])), Account())
    return decode(block, Account())


def test_the_ports_of_the_first_go_to_the_later_ones_across_blocks():
    table, account = FragmentTable(), Account()
    table.join(packets(fragment(5, 0, True)), account)
    joined, wrong = table.join(packets(fragment(5, 48, True), fragment(6, 48, False)), account)
    assert joined.source_port.tolist() == [53] and joined.destination_port.tolist() == [4000]
    assert not wrong.any() and account.dropped == {"fragment_without_first": 1}


def test_no_more_packets_are_awaited_than_there_is_room_for():
    table, account = FragmentTable(), Account()
    identifications = range(MOST_PACKETS + 1000)
    table.join(packets(*[fragment(i, 0, True) for i in identifications]), account)
    joined, _ = table.join(packets(*[fragment(i, 48, True) for i in identifications]), account)
    assert len(joined) == MOST_PACKETS and account.dropped == {"fragment_without_first": 1000}
