import io
import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows_by_hand import Flow, Packet, flows_by_hand
from juggler.capture.connection import STATES, connection_states
from juggler.capture.files import frames_of
from juggler.capture.flow_cuts import ENDED_BY, FlowOptions
from juggler.capture.flows import Flows, flows_of, join_flows
from juggler.capture.frames import Account
from juggler.capture.runs import mean_and_deviation
from juggler.errors import ConfigError
from made_up_captures import BEGIN_NS, Frame, ethernet, icmp, ip, pcap, tcp, udp

OPTIONS = FlowOptions(idle_s=20, active_s=60, unanswered_s=1, ended_s=0.5)
SILENCES = {"idle": 20_000_000, "unanswered": 1_000_000, "ended": 500_000}
A, B, C = "10.0.0.1", "10.0.0.2", "172.16.0.9"


def flows(
    frames: list[Frame], block_frames: int = 65_536, options: FlowOptions = OPTIONS
) -> tuple[Flows | None, Account]:
    account = Account()
    blocks = frames_of(io.BytesIO(pcap(frames, nanoseconds=True)), account, block_frames=block_frames)
    batches = list(flows_of(blocks, account, options, seed=3))
    assert account.balanced
    return (join_flows(batches) if batches else None), account


def address(words: np.ndarray) -> str:
    return socket.inet_ntoa(words.astype(">u4").tobytes()[12:])


@st.composite
def traffic(draw: st.DrawFn) -> list[Packet]:
    """Draw packets of a few hosts and ports, with gaps around the timeouts."""
    steps = st.sampled_from(
        [
            0,
            1,
            7_000,
            400_000,
            500_000,
            500_001,
            999_999,
            1_000_000,
            1_000_001,
            19_999_999,
            20_000_001,
            35_000_000,
        ]
    )
    time, packets = 0, []
    for _ in range(draw(st.integers(1, 25))):
        time += draw(steps)
        hosts = draw(st.permutations([A, B, C]))
        protocol = draw(st.sampled_from([6, 6, 6, 17]))
        ports = (draw(st.sampled_from([502, 40_000])), draw(st.sampled_from([502, 40_000, 44_818])))
        flags = draw(st.sampled_from(["S", "SA", "A", "PA", "FA", "RA", "R", "FPA"])) if protocol == 6 else ""
        payload = draw(st.integers(0, 40))
        size = 20 + (20 if protocol == 6 else 8) + payload
        packets.append(
            Packet(time, (hosts[0], ports[0]), (hosts[1], ports[1]), protocol, flags, payload, size)
        )
    return packets


def frame(packet: Packet) -> Frame:
    ports = (packet.source[1], packet.destination[1])
    make = tcp(packet.source[0], packet.destination[0], ports, packet.flags, bytes(packet.payload)) if (
        packet.protocol == 6
    ) else udp(packet.source[0], packet.destination[0], ports, bytes(packet.payload))  # fmt: skip
    return Frame(ethernet(make), BEGIN_NS + packet.time_us * 1000)


def spread_of(values: list[int]) -> tuple[int, int, int, int, int]:
    if not values:
        return (0, 0, 0, np.iinfo(np.int64).max, -1)
    return (len(values), sum(values), sum(v * v for v in values), min(values), max(values))


def spread_in(out: Flows, name: str, at: tuple[int, ...]) -> tuple[int, int, int, int, int]:
    state = {k: out.state[f"{name}_{k}"][at] for k in ("count", "total", "squares_low", "squares_high")}
    squares = (int(state["squares_high"]) << 32) + int(state["squares_low"])
    least, most = (int(out.state[f"{name}_{k}"][at]) for k in ("least", "most"))
    return (int(state["count"]), int(state["total"]), squares, least, most)


def check(out: Flows, i: int, flow: Flow) -> None:
    state = out.state
    assert (address(out.sources[i]), int(out.source_port[i])) == flow.source
    assert (address(out.destinations[i]), int(out.destination_port[i])) == flow.destination
    assert (ENDED_BY[out.ended_by[i]], int(out.ended_us[i]) - BEGIN_NS // 1000) == (
        flow.ended_by,
        flow.ended_us,
    )
    assert int(state["first_number"][i]) == flow.packets[0][0]
    assert int(state["last_number"][i]) == flow.packets[-1][0]
    assert spread_in(out, "gap", (i,)) == spread_of(flow.spread(None)["gaps"])
    for side in (0, 1):
        by_hand = flow.spread(side)
        assert spread_in(out, "size", (i, side)) == spread_of(by_hand["sizes"])
        assert spread_in(out, "side_gap", (i, side)) == spread_of(by_hand["gaps"])
        assert int(state["payload_bytes"][i, side]) == by_hand["payload"]
        counts = [sum(flow.side(p) == side and f in p.flags for _, p in flow.packets) for f in "FSRPA"]
        assert state["flag_counts"][i, side, :5].tolist() == counts
    resets = [flow.side(p) for _, p in flow.packets if "R" in p.flags]
    assert int(state["reset_first"][i]) == (resets[0] if resets else -1)


@settings(max_examples=60, deadline=None)
@given(traffic(), st.integers(1, 30))
def test_flows_are_those_put_together_by_hand_whatever_the_cuts(packets, block_frames):
    by_hand = flows_by_hand(packets, SILENCES, 60_000_000)
    out, _ = flows([frame(packet) for packet in packets], block_frames)
    assert len(out) == len(by_hand)
    for i, flow in enumerate(by_hand):
        check(out, i, flow)


def conversation(words: str, gap_ns: int = 1_000_000) -> list[Frame]:
    """Return segments: `>S` from A to B, `<SA` back."""
    frames = []
    for i, word in enumerate(words.split()):
        ends = (A, B, (40_000, 502)) if word[0] == ">" else (B, A, (502, 40_000))
        frames.append(
            Frame(ethernet(tcp(*ends, word[1:].rstrip("*"), b"x" * word.count("*"))), BEGIN_NS + i * gap_ns)
        )
    return frames


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (">S", "S0"),
        (">S >S >S", "S0"),
        (">S <RA", "REJ"),
        (">S <SA >A >PA*", "S1"),
        (">S <SA >A >FA <FA >A", "SF"),
        (">S <SA >A >FA <A", "S2"),
        (">S <SA >A <FA >A", "S3"),
        (">S <SA >A >PA* >RA", "RSTO"),
        (">S <SA >A >PA* <RA", "RSTR"),
        (">S >R", "RSTOS0"),
        (">S >F", "SH"),
        ("<SA <RA", "RSTRH"),
        ("<SA <FA", "SHR"),
        (">PA* <A >PA* <A", "OTH"),
        ("<PA* >A", "OTH"),
    ],
)
def test_connections_have_the_states_of_zeek(words, state):
    out, _ = flows(conversation(words))
    assert [STATES[code] for code in connection_states(out).tolist()] == [state]
    assert address(out.sources[0]) == A and int(out.destination_port[0]) == 502


def test_a_new_connection_on_the_ports_of_an_ended_one_is_another_flow():
    out, _ = flows(conversation(">S <SA >A >FA <FA >A >S <SA >A"))
    assert [ENDED_BY[i] for i in out.ended_by.tolist()] == ["reused", "flushed"]


def test_a_ping_and_its_answer_are_one_flow():
    frames = [
        Frame(ethernet(icmp(A, B, 8, 0, bytes(56))), BEGIN_NS),
        Frame(ethernet(icmp(B, A, 0, 0, bytes(56))), BEGIN_NS + 1000),
    ]
    out, _ = flows(frames)
    assert len(out) == 1 and out.state["size_count"].tolist() == [[1, 1]]
    assert out.state["icmp_type"].tolist() == [8]


def fragments(offsets: list[tuple[int, int, bool]], identification: int = 9) -> list[Frame]:
    """Return the fragments of a UDP datagram: offset, bytes, whether more follow."""
    datagram = udp(A, B, (53, 4000), bytes(3000))[20:]
    frames = []
    for offset, size, more in offsets:
        packet = bytearray(ip(A, B, 17, datagram[offset : offset + size]))
        packet[4:6] = identification.to_bytes(2, "big")
        packet[6:8] = (offset // 8 | (0x2000 if more else 0)).to_bytes(2, "big")
        frames.append(Frame(ethernet(bytes(packet)), BEGIN_NS + len(frames)))
    return frames


def test_fragments_belong_to_the_flow_of_the_first():
    out, account = flows(fragments([(0, 1480, True), (1480, 1480, True), (2960, 48, False)]))
    assert len(out) == 1 and not account.dropped
    assert int(out.state["size_count"].sum()) == 3 and int(out.state["payload_bytes"].sum()) == 3000
    assert out.state["wrong_fragments"].tolist() == [0]


def test_fragments_that_overlap_are_wrong_and_those_without_a_first_are_dropped():
    out, account = flows(fragments([(0, 1480, True), (1472, 1480, True)]))
    assert out.state["wrong_fragments"].tolist() == [1]
    out, account = flows(fragments([(1480, 1480, True), (0, 1480, True)]))
    assert dict(account.dropped) == {"fragment_without_first": 1}


def test_a_clock_that_goes_back_makes_no_negative_time_and_is_told():
    times = [0, 5, 3, 4, -7_200, -7_199, -7_198]
    frames = [Frame(ethernet(udp(A, B, (5000, 6000))), BEGIN_NS + 1_000_000_000 * t) for t in times]
    patient = FlowOptions(unanswered_s=100)
    for block_frames in (1, 3, 100):
        out, account = flows(frames, block_frames, patient)
        assert account.noted == {"clock_went_back": 2, "clock_was_set_back": 1}
        assert len(out) == 1
        assert out.state["gap_total"].tolist() == [7_000_000] and out.state["gap_least"].tolist() == [0]
        assert out.state["start_ns"].tolist() == [BEGIN_NS]


def test_a_table_that_is_full_sheds_what_was_never_answered_first():
    session = conversation(">S <SA >A", gap_ns=1000)
    scan = [
        Frame(ethernet(tcp(C, f"10.9.{i >> 8}.{i & 255}", (40_000, 80), "S")), BEGIN_NS + 10_000 + i)
        for i in range(500)
    ]
    after = [Frame(ethernet(tcp(A, B, (40_000, 502), "PA", b"x")), BEGIN_NS + 900_000_000)]
    options = FlowOptions(most_flows=50)
    out, account = flows([*session, *scan, *after], 64, options)
    by = [ENDED_BY[i] for i in out.ended_by.tolist()]
    assert account.noted["flows_shed"] == by.count("shed") == 451
    kept = [i for i in range(len(out)) if address(out.sources[i]) == A]
    assert len(kept) == 1 and int(out.state["size_count"][kept[0]].sum()) == 4


@pytest.mark.parametrize(
    "wrong", [{"idle_s": 0}, {"active_s": float("nan")}, {"ended_s": 3000}, {"most_flows": 0}]
)
def test_options_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is"):
        FlowOptions(**wrong)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, (1 << 31) - 1), min_size=2, max_size=40))
def test_mean_and_deviation_are_those_of_exact_numbers(values):
    squares = sum(v * v for v in values)
    columns = [np.array([n]) for n in (len(values), sum(values), squares & 0xFFFFFFFF, squares >> 32)]
    mean, deviation = mean_and_deviation(*columns)
    assert mean[0] == pytest.approx(np.mean(values), rel=1e-12)
    assert deviation[0] == pytest.approx(np.std(np.array(values, np.longdouble), ddof=1), rel=1e-9, abs=1e-6)
