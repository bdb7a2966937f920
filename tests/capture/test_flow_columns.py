import io

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from juggler.capture.files import frames_of
from juggler.capture.flow_columns import addresses, community_ids, flow_columns
from juggler.capture.flow_files import write_flows
from juggler.capture.flows import flows_of, join_flows, no_flows
from juggler.capture.frames import Account
from juggler.errors import ConfigError, DataError
from made_up_captures import BEGIN_NS, Frame, ethernet, icmp, ip, pcap, tcp, udp

A, B = "10.0.0.1", "192.168.3.0"


def of(frames: list[bytes], gap_ns: int = 1_500_000):
    data = pcap([Frame(ethernet(f), BEGIN_NS + i * gap_ns) for i, f in enumerate(frames)], nanoseconds=True)
    return join_flows(list(flows_of(frames_of(io.BytesIO(data), Account()), Account(), seed=1)))


# The examples of the specification's own test set (github.com/corelight/community-id-spec, baseline seed 0).
@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (tcp("128.232.110.120", "66.35.250.204", (34855, 80), "S"), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (udp("192.168.1.52", "8.8.8.8", (54585, 53)), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
        (icmp("192.168.0.89", "192.168.0.1", 8, 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
    ],
)
def test_community_ids_are_those_of_the_specification(packet, expected):
    assert community_ids(of([packet])) == [expected]


def test_both_ways_have_one_community_id():
    ways = [tcp(A, B, (4000, 502), "PA"), tcp(B, A, (502, 4000), "PA")]
    first, second = (community_ids(of([way])) for way in ways)
    assert first == second


def test_addresses_are_written_as_people_write_them():
    flows = of([udp(A, B, (1, 2)), udp("2001:db8::", "fd00::5", (1, 2)), ip(A, B, 47, b"gre...")])
    pairs = {*zip(addresses(flows.sources), addresses(flows.destinations), strict=True)}
    assert pairs == {(A, B), ("2001:db8::", "fd00::5")}


def test_a_row_says_what_each_side_sent():
    flows = of(
        [
            tcp(A, B, (4000, 502), "S"),
            tcp(B, A, (502, 4000), "SA"),
            tcp(A, B, (4000, 502), "A"),
            tcp(A, B, (4000, 502), "PA", b"x" * 12),
            tcp(B, A, (502, 4000), "PA", b"y" * 9),
        ]
    )
    (row,) = flow_columns(flows).to_pylist()
    sizes, gaps = [40, 40, 52], [3.0, 1.5]
    expected = {
        "src_ip": A, "src_port": 4000, "dst_ip": B, "dst_port": 502, "protocol": 6, "conn_state": "S1",
        "ended_by": "flushed", "first_packet": 1, "last_packet": 5,
        "bidirectional_first_seen_ms": BEGIN_NS // 1_000_000, "bidirectional_duration_ms": 6,
        "bidirectional_packets": 5, "bidirectional_bytes": 221, "bidirectional_payload_bytes": 21,
        "src2dst_packets": 3, "src2dst_bytes": 132, "dst2src_packets": 2, "dst2src_bytes": 89,
        "src2dst_min_ps": 40, "src2dst_max_ps": 52, "src2dst_syn_packets": 1, "dst2src_syn_packets": 1,
        "dst2src_psh_packets": 1, "bidirectional_ack_packets": 4, "bidirectional_min_piat_ms": 1.5,
        "bidirectional_max_piat_ms": 1.5, "dst2src_mean_piat_ms": 4.5, "dst2src_stddev_piat_ms": 0.0,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert row["src2dst_mean_ps"] == pytest.approx(np.mean(sizes), rel=1e-12)
    assert row["src2dst_stddev_ps"] == pytest.approx(np.std(sizes, ddof=1), rel=1e-12)
    assert row["src2dst_stddev_piat_ms"] == pytest.approx(np.std(gaps, ddof=1), rel=1e-12)


def test_no_flows_have_the_same_columns():
    assert flow_columns(no_flows()).schema == flow_columns(of([udp(A, B, (1, 2))])).schema


@pytest.fixture
def capture(tmp_path):
    path = tmp_path / "some.pcap"
    frames = [ethernet(udp(A, B, (1000 + i, 53), bytes(i))) for i in range(50)] + [
        ethernet(bytes(46), kind=0x0806)
    ]
    path.write_bytes(pcap([Frame(frame, BEGIN_NS + i * 100_000_000) for i, frame in enumerate(frames)]))
    return path


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_flows_are_written_whole(ending, capture, tmp_path):
    out = tmp_path / f"flows{ending}"
    account, count = write_flows(capture, out)
    table = pq.read_table(out) if ending == ".parquet" else pacsv.read_csv(out)
    assert count == table.num_rows == 50 and account.dropped == {"arp": 1}
    assert sorted(table["src_port"].to_pylist()) == list(range(1000, 1050))
    assert [path.name for path in sorted(tmp_path.iterdir())] == sorted([out.name, capture.name])


def test_what_cannot_be_written_or_read_leaves_the_old_file(capture, tmp_path):
    out = tmp_path / "flows.csv"
    out.write_text("old")
    with pytest.raises(ConfigError, match=r"ends in \.txt"):
        write_flows(capture, tmp_path / "flows.txt")
    (tmp_path / "none").write_text("0,tcp,http\n")
    with pytest.raises(DataError, match="as no capture does"):
        write_flows(tmp_path / "none", out)
    assert out.read_text() == "old"
