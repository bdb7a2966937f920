import io
import json

import numpy as np
import pytest

import golden_captures as golden
from juggler.capture.files import frames_of
from juggler.capture.flows import Flows, flows_of, join_flows
from juggler.capture.frames import Account
from juggler.capture.header_features import HeaderFeatures
from juggler.capture.services import in_schema
from juggler.data import Records
from juggler.data.records import join
from juggler.data.schemas.nsl_kdd import SCHEMA
from made_up_captures import BEGIN_NS, SECOND, Frame, ethernet, icmp, pcap, tcp, udp

SERROR, RERROR = {"S0", "S1", "S2", "S3", "SH"}, {"REJ", "RSTO", "RSTOS0", "RSTR"}


def records(frames: list[Frame], block_frames: int = 65_536) -> Records:
    blocks = frames_of(io.BytesIO(pcap(frames, nanoseconds=True)), Account(), block_frames=block_frames)
    features = HeaderFeatures()
    return join(
        [features.records(flows.take(in_schema(flows))) for flows in flows_of(blocks, Account(), seed=1)]
    )


def column(found: Records, name: str) -> list[object]:
    if name in SCHEMA.categorical:
        return list(found.words(name))
    return found.numbers[SCHEMA.numeric.index(name)].tolist()


def mixture(seed: int) -> list[Frame]:
    """Return sessions, refused and unanswered attempts, datagrams and pings of many hosts, in order."""
    draw = np.random.default_rng(seed)
    frames: list[Frame] = []
    for i in range(900):
        at = BEGIN_NS + int(draw.integers(0, 12 * SECOND))
        client, server = f"10.0.0.{draw.integers(1, 9)}", f"10.1.0.{draw.integers(1, 6)}"
        ports = (int(draw.choice([3000, 3001, 20_000 + i])), int(draw.choice([80, 502, 22, 700, 5555])))
        ends, back = (client, server, ports), (server, client, ports[::-1])
        match draw.integers(0, 6):
            case 0:
                words = [(ends, "S"), (back, "SA"), (ends, "A"), (ends, "PA"), (ends, "FA"), (back, "FA")]
            case 1:
                words = [(ends, "S")]
            case 2:
                words = [(ends, "S"), (back, "RA")]
            case 3:
                words = [(ends, "S"), (back, "SA"), (ends, "A"), (back, "RA")]
            case 4:
                frames.append(Frame(ethernet(udp(*ends, bytes(int(draw.integers(0, 90))))), at))
                continue
            case _:
                frames.append(Frame(ethernet(icmp(client, server, 8, 0, bytes(18))), at))
                continue
        frames += [
            Frame(ethernet(tcp(*way, flags, b"xy" if "P" in flags else b"")), at + 1_000_000 * step)
            for step, (way, flags) in enumerate(words)
        ]
    return sorted(frames, key=lambda frame: frame.time_ns)


def share(mask: np.ndarray) -> float:
    return float(f"{np.float32(mask.sum()) / np.float32(len(mask)):.2f}")


def by_hand(flows: Flows, flags: list[object], names: list[object]) -> list[dict[str, float]]:
    """Return the traffic features of each flow, counted over the list of all before it."""
    hosts = np.array([host.tobytes().hex() for host in flows.destinations])
    services, ports = np.array(names), flows.source_port
    serror, rerror = (np.array([flag in kind for flag in flags]) for kind in (SERROR, RERROR))
    rows = []
    for i in range(len(flows)):
        before = np.arange(i + 1)
        recent = before[flows.ended_us[: i + 1] >= flows.ended_us[i] - 2_000_000][-511:]
        row: dict[str, float] = {}
        for prefix, window in (("", recent), ("dst_host_", before[-255:])):
            host = window[hosts[window] == hosts[i]]
            service = window[services[window] == services[i]]
            row |= {
                f"{prefix}count": len(host),
                f"{prefix}srv_count": len(service),
                f"{prefix}serror_rate": share(serror[host]),
                f"{prefix}srv_serror_rate": share(serror[service]),
                f"{prefix}rerror_rate": share(rerror[host]),
                f"{prefix}srv_rerror_rate": share(rerror[service]),
                f"{prefix}same_srv_rate": share(services[host] == services[i]),
                f"{prefix}diff_srv_rate": share(services[host] != services[i]),
                f"{prefix}srv_diff_host_rate": share(hosts[service] != hosts[i]),
            }
            if prefix:
                row["dst_host_same_src_port_rate"] = share(ports[host] == ports[i])
        rows.append(row)
    return rows


def test_the_traffic_features_are_those_counted_by_hand_whatever_the_cuts():
    frames = mixture(5)
    found = records(frames)
    blocks = frames_of(io.BytesIO(pcap(frames, nanoseconds=True)), Account())
    batches = list(flows_of(blocks, Account(), seed=1))
    flows = join_flows(batches)
    rows = by_hand(flows, column(found, "flag"), column(found, "service"))
    for name in rows[0]:
        assert column(found, name) == [row[name] for row in rows], name
    for cut in (1, 17, 500):
        again = records(frames, cut)
        assert np.array_equal(again.numbers, found.numbers) and np.array_equal(again.codes, found.codes)


def test_a_syn_flood_is_half_open_empty_and_all_errors():
    frames = [
        Frame(
            ethernet(tcp(f"10.{i >> 8 & 255}.{i & 255}.7", "10.1.0.1", (1024 + i, 80), "S")),
            BEGIN_NS + i * 100_000,
        )
        for i in range(2000)
    ]
    found = records(frames)
    assert set(column(found, "flag")) == {"S0"} and set(column(found, "service")) == {"http"}
    assert set(column(found, "src_bytes")) == set(column(found, "dst_bytes")) == {0.0}
    assert set(column(found, "serror_rate")) == set(column(found, "dst_host_serror_rate")) == {1.0}
    assert max(column(found, "count")) == 511 and max(column(found, "dst_host_count")) == 255


def test_the_basic_features_of_each_kind_of_flow():
    a, b = "10.0.0.1", "10.0.0.2"
    frames = [
        Frame(ethernet(tcp(a, b, (4000, 80), "S")), BEGIN_NS),
        Frame(ethernet(tcp(b, a, (80, 4000), "SA")), BEGIN_NS + 1),
        Frame(ethernet(tcp(a, b, (4000, 80), "PAU", b"12345")), BEGIN_NS + 2),
        Frame(ethernet(tcp(b, a, (80, 4000), "FA", b"123")), BEGIN_NS + 2 * SECOND + 5),
        Frame(ethernet(tcp(a, b, (4000, 80), "FA")), BEGIN_NS + 2 * SECOND + 6),
        Frame(ethernet(icmp(a, b, 8, 0, b"x" * 10)), BEGIN_NS + 30 * SECOND),
        Frame(ethernet(icmp(b, a, 0, 0, b"x" * 10)), BEGIN_NS + 30 * SECOND + 1),
        Frame(ethernet(tcp(a, a, (5000, 5000), "S")), BEGIN_NS + 60 * SECOND),
        Frame(ethernet(udp(a, b, (5000, 53), b"question")), BEGIN_NS + 90 * SECOND),
    ]
    found = records(frames)
    names = ("protocol_type", "service", "flag", "duration", "src_bytes", "dst_bytes", "urgent", "land")
    rows = list(zip(*(column(found, name) for name in names), strict=True))
    assert rows == [
        ("tcp", "http", "SF", 2.0, 5.0, 3.0, 1.0, 0.0),
        ("tcp", "other", "S0", 0.0, 0.0, 0.0, 0.0, 1.0),
        ("icmp", "eco_i", "SF", 0.0, 18.0, 0.0, 0.0, 0.0),
        ("udp", "domain_u", "SF", 0.0, 8.0, 0.0, 0.0, 0.0),
    ]


@pytest.mark.data
def test_shared_captures_give_the_values_that_were_written_down():
    written = json.loads(golden.FILE.read_text())
    assert len(written) >= 20
    for name, values in written.items():
        assert golden.values_of(golden.FOLDER / name) == values, name
