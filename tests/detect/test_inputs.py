"""What comes instead of records, or as records that no detector was trained on."""

from __future__ import annotations

import gzip
import io
import os
import signal
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from juggler.alerts.sinks.eve import EveSink
from juggler.alerts.sinks.null import NullSink
from juggler.data import BadRow
from juggler.data.rows import RowParser
from juggler.detect import DetectOptions, RunError, Summary, detect
from juggler.detect.reader import Block, LineReader
from juggler.nouns import Alert
from juggler.runtime import Artefact
from juggler.stopping import StopRequest
from small_detector import SCHEMA, as_bytes, traffic

ROWS = [line.rsplit(",", 2)[0] for line in traffic(120, seed=21)]  # the 41 features
PLAIN = as_bytes(ROWS)
HEADER = ",".join(SCHEMA.all_features)
FEW = [SCHEMA.all_features.index(name) for name in SCHEMA.header_features]


def run_on(artefact: Artefact, data: bytes, tmp_path: Path, **options: Any) -> Summary:
    path = tmp_path / "records.csv"
    path.write_bytes(data)
    return detect(artefact, path, NullSink(), options=DetectOptions(**options))


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, PLAIN)
    return content.getvalue()


def cells(change: Callable[[list[str]], list[str]]) -> bytes:
    return as_bytes([",".join(change(row.split(","))) for row in ROWS])


KINDS = {
    "a gzip file": gzip.compress(PLAIN),
    "an Excel file": zipped("xl/worksheets/sheet1.xml"),
    "a zip archive": zipped("records.csv"),
    "an ARFF file": b"@relation 'KDD'\n@attribute 'duration' real\n@data\n" + PLAIN,
    "a Zeek log": b"#separator \\x09\n#fields\tts\tuid\n1\tC1\n",
    "EVE JSON of Suricata": b'{"timestamp":"2026-01-01","event_type":"flow"}\n' * 3,
    "a packet capture": b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(40),
    "UTF-16 text": PLAIN.decode().encode("utf-16"),
    "semicolons between its cells": PLAIN.replace(b",", b";"),
    "commas in its numbers": PLAIN.replace(b",", b";").replace(b".", b","),
    "tabs between its cells": PLAIN.replace(b",", b"\t"),
    "lines end in CR alone": PLAIN.replace(b"\n", b"\r"),
    "a table of CICFlowMeter": b"Flow ID,Src IP,Dst IP,Flow Duration,Label\na,b,c,1,BENIGN\n",
    "a table of UNSW-NB15": b"\xef\xbb\xbfid,dur,proto,service,state,attack_cat,label\n1,0.1,udp,-,INT,x,0\n",
    "a table of UNSW-NB15 of 43 columns": (b"0.1,udp,-,INT" + b",1" * 39 + b"\n") * 5,
    "it has 30 columns": cells(lambda row: row[:30]),
    "without duration": (HEADER.partition(",")[2] + "\n").encode() + cells(lambda row: row[1:]),
    "it is empty (0 bytes)": b"",
    "not one of 2 lines is a record; line 1: expected 41": b"a,b,c\nd,e,f",
    "not one of 1 lines is a record; line 1: a line of 10000000 bytes": b"x" * 10_000_000,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_holds_no_records_ends_at_once_by_name(artefact: Artefact, tmp_path: Path, kind: str) -> None:
    with pytest.raises(RunError) as caught:
        run_on(artefact, KINDS[kind], tmp_path)
    assert kind in caught.value.found and caught.value.remedy and caught.value.exit_code == 3
    assert str(tmp_path) in caught.value.asked
    summary = caught.value.summary
    assert summary.records == 0 and summary.interrupted and kind in summary.ended_by


def test_the_same_is_so_on_a_stream(artefact: Artefact) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, PLAIN.replace(b",", b";")[:3000])
    with pytest.raises(RunError, match="semicolons"):  # though the stream goes on
        detect(artefact, read_end, NullSink())
    os.close(read_end)
    os.close(write_end)


SAME = {
    "a byte-order mark": b"\xef\xbb\xbf" + PLAIN,
    "a header": f"{HEADER}\n".encode() + PLAIN,
    "a header with a mark and other letters": b"\xef\xbb\xbf" + f"{HEADER}\n".upper().encode() + PLAIN,
    "a header in the middle": as_bytes([*ROWS[:50], HEADER, *ROWS[50:]]),
    "two files joined": f"{HEADER}\n".encode() + as_bytes([*ROWS[:50], f"\ufeff{HEADER}", *ROWS[50:]]),
    "quoted fields": cells(lambda row: [f'"{cell}"' for cell in row]),
    "quoted words": cells(lambda row: [cell if cell[0].isdigit() else f'"{cell}"' for cell in row]),
    "blank lines": PLAIN.replace(b"\n", b"\n\n"),
    "CRLF": PLAIN.replace(b"\n", b"\r\n"),
    "blanks after commas": PLAIN.replace(b",", b", "),
    "an index column": as_bytes([f"{i},{row}" for i, row in enumerate(ROWS)]),
    "an index column with a header": f",{HEADER}\n".encode()
    + as_bytes([f"{i},{row}" for i, row in enumerate(ROWS)]),
    "columns in another order, by header": ",".join(reversed(HEADER.split(","))).encode()
    + b"\n"
    + cells(lambda row: row[::-1]),
    "labels": cells(lambda row: [*row, "normal."]),
    "labels in no known letters": cells(lambda row: [*row, "é"]).decode().encode("latin-1"),
    "label and difficulty, the first without": as_bytes(
        [f"{ROWS[0]},normal", *[f"{row},x,21" for row in ROWS[1:]]]
    ),
    "the 28 header columns alone": (",".join(SCHEMA.header_features) + "\n").encode()
    + cells(lambda row: [row[i] for i in FEW]),
    "the 28 header columns without header": cells(lambda row: [row[i] for i in FEW]),
    "numbers with a sign": cells(lambda row: ["+" + row[0], *row[1:]]),
}


@pytest.mark.parametrize("kind", SAME)
def test_what_is_written_in_another_way_is_taken_as_what_it_is(
    artefact: Artefact, tmp_path: Path, kind: str
) -> None:
    plain = run_on(artefact, PLAIN, tmp_path)
    summary = run_on(artefact, SAME[kind], tmp_path)
    assert (summary.records, summary.bad_rows, summary.unknown_values) == (120, 0, 0)
    assert summary.by_class == plain.by_class and not summary.doubts
    lines = SAME[kind].count(b"\n")
    assert summary.records + summary.blank_lines + summary.header_lines == lines


def test_a_stream_that_begins_in_mid_line_loses_that_line_only(artefact: Artefact, tmp_path: Path) -> None:
    lines = [f"{row},normal,21" for row in ROWS]
    for cut in (2, 6, 10, 90):  # one cell lost makes 42 of 43: a right number, of no record
        summary = run_on(artefact, as_bytes(lines)[cut:], tmp_path)
        assert (summary.records, summary.bad_rows) == (119, 1)


def test_addresses_ports_and_time_go_into_the_alert(artefact: Artefact, tmp_path: Path) -> None:
    flood = next(line for line in traffic(100, seed=5) if "neptune" in line).split(",")
    row = [flood[i] for i in FEW]
    names = ["ts", "src_ip", "src_port", "dst_ip", "dst_port", *SCHEMA.header_features]
    ends = ["10:00:0{n}", "192.0.2.{n}", "10{n}", "198.51.100.1", "502\x1b[31m"]
    lines = [",".join([*(end.replace("{n}", str(n)) for end in ends), *row]) for n in range(3)]
    alerts: list[Alert] = []

    class Kept(NullSink):
        def write(self, alert: Alert) -> None:
            alerts.append(alert)

    path = tmp_path / "records.csv"
    path.write_text("\n".join([",".join(names), *lines]), encoding="utf-8")
    detect(artefact, path, Kept())
    opened, closed = alerts
    context = {"time": "10:00:00", "src_ip": "192.0.2.0", "src_port": "100", "dst_ip": "198.51.100.1"}
    assert opened.context == context | {"dst_port": r"502\x1b[31m"}
    assert closed.context == opened.context | {"src_ip": "several", "src_port": "several"}


def of_number(change: Callable[[float], float]) -> bytes:
    return cells(lambda row: [*row[:1], *row[1:4], *(f"{change(float(cell)):.6g}" for cell in row[4:])])


DOUBTFUL = {
    "protocol_type is unknown in 120 of 120": cells(lambda row: [row[0], "1", "24", "9", *row[4:]]),
    "service is unknown in 120 of 120 records ('HTTP'": cells(lambda row: [cell.upper() for cell in row]),
    "fractions where training saw none: scaled?": of_number(lambda value: value / (value + 1)),
    "are beyond all that training saw": cells(
        lambda row: [*row[:6], *row[22:24], *row[8:22], *row[4:6], *row[24:]]
    ),
    "120 of 120 records are alarms": as_bytes([next(r for r in ROWS if ",S0," in r)] * 120),
}


@pytest.mark.parametrize("doubt", DOUBTFUL)
def test_records_that_training_never_saw_the_like_of_are_doubted(
    artefact: Artefact, tmp_path: Path, doubt: str
) -> None:
    summary = run_on(artefact, DOUBTFUL[doubt], tmp_path)
    assert any(doubt in each for each in summary.doubts), summary.doubts
    assert Summary.from_json(summary.to_json()) == summary


def test_most_lines_being_bad_is_a_doubt(artefact: Artefact, tmp_path: Path) -> None:
    lines = [row if i % 3 == 0 else f"-1{row}" for i, row in enumerate(ROWS)]  # as standardised ones are
    assert run_on(artefact, as_bytes(lines), tmp_path).doubts == ("80 of 120 lines are no records",)


def test_doubts_are_told_while_a_stream_goes_on(artefact: Artefact, tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_bytes(DOUBTFUL["protocol_type is unknown in 120 of 120"] * 20)
    told: list[tuple[str, ...]] = []
    summary = detect(artefact, path, NullSink(), on_doubt=told.append)
    assert len(told) == 1 and len(summary.doubts) == len(told[0]) == 4
    assert summary.unknown_words["protocol_type=1"] == 2400


def test_unknown_words_are_shown_without_what_a_terminal_obeys(artefact: Artefact, tmp_path: Path) -> None:
    summary = run_on(artefact, cells(lambda row: [row[0], "t\x1b[31mcp", *row[2:]]), tmp_path)
    assert summary.unknown_words == {r"protocol_type=t\x1b[31mcp": 120}
    assert summary.doubts and "\x1b" not in "".join(summary.doubts)
    bad = run_on(artefact, PLAIN + b"\x1b]0;x\x07,bad\n", tmp_path).first_bad_rows[0]
    assert (bad.line, bad.text) == (121, r"\x1b]0;x\x07,bad")


PIECES = st.sampled_from(
    [
        *(
            f"{row}{labels}{end}".encode()
            for row in ROWS[:3]
            for labels in ("", ",x,1")
            for end in ("\n", "\r\n")
        ),
        (HEADER + "\n").encode(),
        (",".join(SCHEMA.header_features) + "\n").encode(),
        cells(lambda row: [f'"{cell}"' for cell in row]),
        b"\n",
        b"\r\n",
        b"no record\n",
        b"\xef\xbb\xbf",
        b'"',
        b"\xff\n",
        ROWS[0].encode()[:50],
        b"9" * 20_000 + b"\n",
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES, max_size=12), st.integers(1, 5000))
def test_any_input_gives_the_same_however_it_is_cut(pieces: list[bytes], block_bytes: int) -> None:
    data = b"".join(pieces)[:60_000]

    def outcome(block_bytes: int) -> tuple[object, ...]:
        read_end, write_end = os.pipe()
        os.write(write_end, data)
        os.close(write_end)
        parser = RowParser(SCHEMA, needed=SCHEMA.header_features, with_labels=False)
        bad: list[BadRow] = []
        numbers: list[object] = []
        with StopRequest() as stop:
            for piece in LineReader(read_end, stop, block_bytes=block_bytes):
                if isinstance(piece, Block):
                    records, wrong = parser.parse(piece.data, piece.first_line)
                    bad += wrong
                    numbers += [*zip(records.lines.tolist(), records.numbers.T.tolist(), strict=True)]
                else:
                    bad.append(piece)
        os.close(read_end)
        return repr(numbers), bad, parser.blank_lines, parser.header_lines

    assert outcome(block_bytes) == outcome(1 << 20)


def test_hang_up_opens_the_alert_file_anew_or_ends_a_run(artefact: Artefact, tmp_path: Path) -> None:
    flood = next(line for line in traffic(100, seed=5) if "neptune" in line)
    path = tmp_path / "eve.json"
    read_end, write_end = os.pipe()
    os.write(write_end, f"{flood}\n".encode())

    def rotate() -> None:
        while not path.exists() or not path.stat().st_size:
            stop.wait(0.01)
        path.rename(tmp_path / "eve.json.1")
        os.kill(os.getpid(), signal.SIGHUP)
        os.close(write_end)

    stop = threading.Event()
    worker = threading.Thread(target=rotate)
    worker.start()
    with EveSink.open(path) as sink:
        summary = detect(artefact, read_end, sink)
    worker.join()
    os.close(read_end)
    assert (summary.ended_by, summary.unwritten) == ("end of input", 0)
    assert "state=opened" in (tmp_path / "eve.json.1").read_text(encoding="utf-8")
    assert "state=closed" in path.read_text(encoding="utf-8")
    read_end, write_end = os.pipe()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGHUP)).start()
    assert detect(artefact, read_end, NullSink()).ended_by == "a request to stop"
    os.close(read_end)
    os.close(write_end)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_the_summary_is_given_however_the_run_ends(artefact: Artefact, tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_bytes(PLAIN)

    class Broken(NullSink):
        def write(self, alert: Alert) -> None:
            raise ZeroDivisionError

    given_summaries: list[Summary] = []
    detect(artefact, path, NullSink(), on_summary=given_summaries.append)
    with pytest.raises(ZeroDivisionError):
        detect(artefact, path, Broken(), on_summary=given_summaries.append)
    path.write_bytes(b"{}\n")
    with pytest.raises(RunError):
        detect(artefact, path, NullSink(), on_summary=given_summaries.append)
    assert [summary.ended_by for summary in given_summaries] == [
        "end of input",
        "ZeroDivisionError on the way",
        "an error: it is JSON",
    ]
    assert given_summaries[1].records == 120
