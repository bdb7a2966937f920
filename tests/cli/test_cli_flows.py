"""`juggler flows` on captures that are made up here."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow.parquet as pq

from commands import Program
from made_up_captures import BEGIN_NS, Frame, ethernet, pcap, tcp, udp

FRAMES = [
    ethernet(tcp("10.0.0.1", "10.0.0.2", (4000, 502), "S")),
    ethernet(tcp("10.0.0.2", "10.0.0.1", (502, 4000), "RA")),
    ethernet(udp("10.0.0.1", "10.0.0.3", (5000, 53), b"?")),
    ethernet(bytes(46), kind=0x0806),
]


def test_flows_are_printed_and_every_packet_is_accounted_for(program: Program, elsewhere: Path) -> None:
    Path("some.pcap").write_bytes(pcap([Frame(frame, BEGIN_NS) for frame in FRAMES]))
    done = program("flows", "some.pcap").check(0)
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [(row["dst_ip"], row["conn_state"]) for row in rows] == [("10.0.0.2", "REJ"), ("10.0.0.3", "S0")]
    assert "4 packets: 3 in 2 flows; passed over: arp 1" in done.err


def test_a_file_is_written_by_its_ending(program: Program, elsewhere: Path) -> None:
    Path("some.pcap").write_bytes(pcap([Frame(frame, BEGIN_NS) for frame in FRAMES])[:-10])
    done = program("flows", "some.pcap", "--out", "flows.parquet").check(0)
    assert pq.read_table("flows.parquet").num_rows == 2 and "cut off 1" in done.err
    program("flows", "some.pcap", "--out", "flows.xlsx").check(2)
    program("flows", "none.pcap").check(3)
