import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from juggler.alerts import open_sink
from juggler.detect import RunError, Summary, detect_capture, looks_like_capture
from juggler.runtime import Artefact
from juggler.runtime.artefact import shipped
from made_up_captures import BEGIN_NS, SECOND, Frame, ethernet, pcap, tcp

ATTACKER, SERVER = "10.66.0.9", "10.1.0.1"


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    return Artefact.load(shipped("nsl_kdd.onnx"))


def sessions(seconds: int) -> list[Frame]:
    """Return ordinary short HTTP sessions of a few clients, two a second."""
    frames = []
    for i in range(2 * seconds):
        client, ports, at = f"10.0.0.{i % 5 + 1}", (30_000 + i, 80), BEGIN_NS + i * SECOND // 2
        words = [
            ("S", b""),
            ("<SA", b""),
            ("A", b""),
            ("PA", b"G" * 230),
            ("<PA", b"H" * 2300),
            ("FA", b""),
            ("<FA", b""),
        ]
        for step, (word, size) in enumerate(words):
            back = word[0] == "<"
            ends = (SERVER, client, ports[::-1]) if back else (client, SERVER, ports)
            frames.append(Frame(ethernet(tcp(*ends, word.lstrip("<"), bytes(size))), at + step * 2_000_000))
    return frames


def scan(at_s: float, ports: int = 600) -> list[Frame]:
    return [
        Frame(
            ethernet(tcp(ATTACKER, SERVER, (40_000, port), "S")),
            BEGIN_NS + int(at_s * SECOND) + port * 1_000_000,
        )
        for port in range(1, ports)
    ]


def alerts_of(
    artefact: Artefact, frames: list[Frame], folder: Path, **options: object
) -> tuple[list[Any], Summary]:
    path = folder / "some.pcap"
    path.write_bytes(pcap(sorted(frames, key=lambda frame: frame.time_ns)))
    with open_sink("eve", str(folder / "eve.json")) as sink:
        summary = detect_capture(artefact, path, sink)
    return [json.loads(line) for line in (folder / "eve.json").read_text().splitlines()], summary


def test_a_scan_is_seen_with_its_source_in_a_few_alerts(artefact, tmp_path):
    alerts, summary = alerts_of(artefact, sessions(30) + scan(10), tmp_path)
    assert summary.packets == {"received": 420 + 599, "processed": 420 + 599}
    assert summary.records == 60 + 599 and not summary.bad_rows and summary.alerts < 10
    assert summary.by_class["dos"] + summary.by_class["probe"] > 550
    scans = [alert for alert in alerts if alert["alert"]["signature"] == "JUGGLER scan"]
    assert {(alert["src_ip"], alert["dest_ip"]) for alert in scans} == {(ATTACKER, SERVER)}


def test_a_capture_is_told_by_its_bytes_and_whatever_else_is_not_one(tmp_path):
    capture = pcap(sessions(1))
    for name, content in {"a": capture, "b": gzip.compress(capture)}.items():
        (tmp_path / name).write_bytes(content)
        assert looks_like_capture(tmp_path / name)
    for name, content in {
        "c": b"",
        "d": b"0,tcp,http\n",
        "e": gzip.compress(b"0,tcp"),
        "f": b"\x1f\x8b\0",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert not looks_like_capture(tmp_path / name)
    assert not looks_like_capture("-") and not looks_like_capture(tmp_path / "none")


def test_a_capture_that_is_cut_off_gives_what_was_whole(artefact, tmp_path):
    path = tmp_path / "cut.pcap"
    path.write_bytes(pcap(sessions(5))[:-7])
    with open_sink("null", "-") as sink:
        summary = detect_capture(artefact, path, sink)
    assert summary.packets["received"] == 69 and summary.packet_notes["cut_off"] == 1


def test_what_is_no_capture_ends_the_run_with_its_account(artefact, tmp_path):
    path = tmp_path / "none.pcap"
    path.write_bytes(b"nothing of the kind")
    told = []
    with open_sink("null", "-") as sink, pytest.raises(RunError, match="as no capture does"):
        detect_capture(artefact, path, sink, on_summary=told.append)
    assert told[0].packets == {"received": 0, "processed": 0}
