from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts_sinks import valid
from juggler.alerts.sinks.eve import EveSink
from juggler.alerts.sinks.null import NullSink
from juggler.data import BadRow, load_set
from juggler.detect import (
    DetectOptions,
    Detector,
    RunError,
    SinkError,
    StopRequest,
    Summary,
    detect,
    open_sink,
)
from juggler.errors import ConfigError, DataError
from juggler.nouns import Alert, Progress
from juggler.runtime import Artefact, open_session
from small_detector import as_bytes, graph_of, records, traffic


class ListSink(NullSink):
    """Keep the alerts, for the tests to look at."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: list[Alert] = []

    def write(self, alert: Alert) -> None:
        super().write(alert)
        self.alerts.append(alert)


def run_on(artefact: Artefact, data: bytes, tmp_path: Path, **options: Any) -> tuple[Summary, list[Alert]]:
    path = tmp_path / "records.csv"
    path.write_bytes(data)
    sink = ListSink()
    return detect(artefact, path, sink, options=DetectOptions(**options)), sink.alerts


def test_a_file_is_scored_by_the_one_rule_and_every_line_is_accounted_for(
    artefact: Artefact, tmp_path: Path
) -> None:
    summary, alerts = run_on(artefact, as_bytes(traffic(600, seed=5)), tmp_path)
    verdicts = Detector(artefact).alarms(records(600, seed=5))
    assert (summary.records, summary.bad_rows, summary.unknown_values) == (600, 0, 0)
    assert summary.alarms == verdicts.is_alarm.sum() > 100
    names = [artefact.classes[i] for i in verdicts.classes[verdicts.is_alarm]]
    assert summary.by_class == Counter(names)
    closed = [a for a in alerts if a.state == "closed"]
    assert sum(a.count for a in closed) == summary.alarms
    assert summary.alerts == len(closed) < 20
    assert [a.state for a in alerts].count("opened") == len(closed)
    assert (summary.interrupted, summary.ended_by) == (False, "end of input")
    assert summary.read_bytes == (tmp_path / "records.csv").stat().st_size
    assert summary.records_per_s > 0
    assert Summary.from_json(summary.to_json()) == summary


def test_a_stream_line_by_line_gives_the_alerts_of_the_file(artefact: Artefact, tmp_path: Path) -> None:
    lines = traffic(150, seed=6)
    lines[40] = "no record"
    lines[90] = lines[90].replace(",tcp,", ",sctp,")
    in_file, from_file = run_on(artefact, as_bytes(lines), tmp_path, window_records=30)
    read_end, write_end = os.pipe()

    def feed() -> None:
        for n, line in enumerate(lines):
            cut = n % 7 * 9
            for part in (line[:cut], line[cut:], "\n" if n % 2 else "\r\n"):
                os.write(write_end, part.encode())
            if n % 5 == 0:
                time.sleep(0.001)
        os.close(write_end)

    feeder = threading.Thread(target=feed)
    feeder.start()
    sink = ListSink()
    summary = detect(artefact, read_end, sink, options=DetectOptions(window_records=30))
    feeder.join()
    os.close(read_end)

    def facts(alerts: list[Alert]) -> list[tuple[object, ...]]:
        # A batch of another size rounds the last bits of float32 in another way.
        return [
            (
                a.identity,
                a.state,
                a.attack_class,
                a.count,
                a.first_record,
                a.last_record,
                a.service,
                round(a.score, 5),
            )
            for a in alerts
        ]

    assert facts(sink.alerts) == facts(from_file)
    for name in ("records", "alarms", "alerts", "bad_rows", "unknown_values", "by_class", "first_bad_rows"):
        assert getattr(summary, name) == getattr(in_file, name)
    assert summary.bad_rows == summary.unknown_values == 1


def test_an_alert_is_written_while_the_stream_goes_on(artefact: Artefact) -> None:
    flood = next(line for line in traffic(100, seed=5) if "neptune" in line)
    read_end, write_end = os.pipe()
    seen = threading.Event()

    class Telling(ListSink):
        def write(self, alert: Alert) -> None:
            super().write(alert)
            seen.set()

    sink = Telling()
    worker = threading.Thread(target=detect, args=(artefact, read_end, sink))
    worker.start()
    os.write(write_end, f"{flood}\n".encode())
    assert seen.wait(300)
    (alert,) = sink.alerts
    assert (alert.state, alert.attack_class, alert.first_record, alert.count) == ("opened", "dos", 1, 1)
    assert 0 < len(alert.weighed) <= 5
    os.close(write_end)
    worker.join(30)
    os.close(read_end)
    assert [a.state for a in sink.alerts] == ["opened", "closed"]


def test_an_alert_closes_when_the_stream_falls_silent(
    artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood = next(line for line in traffic(100, seed=5) if "neptune" in line)
    read_end, write_end = os.pipe()
    os.write(write_end, f"{flood}\n".encode())
    stop = StopRequest()

    class Asking(ListSink):
        def write(self, alert: Alert) -> None:
            super().write(alert)
            if alert.state == "closed":
                stop.request()

    sink = Asking()
    summary = detect(artefact, read_end, sink, options=DetectOptions(window_s=0.01), stop=stop)
    os.close(write_end)
    os.close(read_end)
    assert [a.state for a in sink.alerts] == ["opened", "closed"]
    assert summary.interrupted


def test_labels_are_not_looked_at(artefact: Artefact, tmp_path: Path) -> None:
    lines = traffic(200, seed=7)
    plain = [",".join(line.split(",")[:41]) for line in lines]
    lies = [",".join([*line.split(",")[:41], "no_attack_known", "3"]) for line in lines]
    found = [run_on(artefact, as_bytes(rows), tmp_path)[0] for rows in (lines, plain, lies)]
    assert found[0].alarms == found[1].alarms == found[2].alarms > 0
    assert [s.bad_rows for s in found] == [0, 0, 0]


def test_bad_rows_are_counted_told_and_passed_over(artefact: Artefact, tmp_path: Path) -> None:
    lines = traffic(100, seed=8)
    fields = lines[0].split(",")
    bad = {
        3: "",
        10: ",".join(fields[:30]),
        11: ",".join(["nan", *fields[1:]]),
        12: ",".join(["inf", *fields[1:]]),
        50: ",".join(["-1", *fields[1:]]),
        99: "\x00\x01\x02",
    }
    for line, text in bad.items():
        lines[line - 1] = text
    path = tmp_path / "records.csv"
    path.write_bytes(as_bytes(lines))
    told: list[BadRow] = []
    summary = detect(
        artefact, path, NullSink(), options=DetectOptions(bad_rows_kept=2), on_bad_row=told.append
    )
    assert (summary.records, summary.bad_rows, summary.blank_lines) == (94, 5, 1)
    assert sorted(row.line for row in told) == list(bad)[1:]
    assert [row.line for row in summary.first_bad_rows] == [10, 11]
    assert all(row.reason for row in told)


def test_noise_between_records_loses_no_record(artefact: Artefact, tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    rows = [line.encode() for line in traffic(60, seed=9)]
    noise = [
        draw.integers(0, 256, n).astype(np.uint8).tobytes().replace(b"\n", b"") for n in (1, 50, 3000, 70_000)
    ]
    mixed = [row for i, row in enumerate(rows) for row in ([noise[i % 4], row] if i % 3 else [row])]
    summary, _ = run_on(artefact, b"\n".join(mixed), tmp_path)
    assert summary.records == 60
    assert summary.bad_rows == len(mixed) - 60
    clean, _ = run_on(artefact, b"\n".join(rows), tmp_path)
    assert summary.by_class == clean.by_class


def test_unknown_names_are_scored_and_counted(artefact: Artefact, tmp_path: Path) -> None:
    lines = [line.replace(",http,", ",a_service_of_tomorrow,") for line in traffic(40, seed=10)]
    renamed = sum("a_service_of_tomorrow" in line for line in lines)
    summary, _ = run_on(artefact, as_bytes(lines), tmp_path)
    assert (summary.records, summary.bad_rows, summary.unknown_values) == (40, 0, renamed)
    assert renamed > 0


def test_a_record_that_the_network_cannot_score_is_no_normal_one(artefact: Artefact, tmp_path: Path) -> None:
    size = int(np.prod(artefact.encoder.shape))
    graph = graph_of(np.full((5, size), np.nan, np.float32), np.zeros(5, np.float32), artefact.encoder.shape)
    path = tmp_path / "records.csv"
    path.write_bytes(as_bytes(traffic(5, seed=1)))
    with open_session(graph) as session, pytest.raises(RunError, match="not one of 5 lines") as caught:
        detect(artefact, path, NullSink(), session=session)
    summary = caught.value.summary
    assert (summary.records, summary.bad_rows) == (0, 5)
    assert "no number" in summary.first_bad_rows[0].reason


def test_the_threshold_can_be_set(artefact: Artefact, tmp_path: Path) -> None:
    data = as_bytes(traffic(100, seed=11))
    every, _ = run_on(artefact, data, tmp_path, threshold=0.0)
    none, _ = run_on(artefact, data, tmp_path, threshold=1.0)
    assert (every.alarms, none.alarms, every.threshold) == (100, 0, 0.0)


def test_too_many_open_alerts_are_evicted_and_counted(artefact: Artefact, tmp_path: Path) -> None:
    summary, alerts = run_on(artefact, as_bytes(traffic(300, seed=12)), tmp_path, max_open_alerts=1)
    assert summary.evicted > 0
    assert sum(a.count for a in alerts if a.state == "closed") == summary.alarms


def test_progress_is_told_and_ends_with_all(artefact: Artefact, tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_bytes(as_bytes(traffic(100, seed=13)))
    told: list[Progress] = []
    detect(artefact, path, NullSink(), on_progress=told.append)
    size = path.stat().st_size
    assert told[-1] == Progress("detect", size, size, "bytes", {"records": 100})


def test_a_full_disk_ends_the_run_with_what_was_done(artefact: Artefact, tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_bytes(as_bytes(traffic(200, seed=14)))
    with open_sink("eve", "/dev/full") as sink, pytest.raises(RunError, match="No space left") as caught:
        detect(artefact, path, sink)
    summary = caught.value.summary
    assert isinstance(caught.value.__cause__, SinkError)
    assert isinstance(caught.value.__cause__.__cause__, OSError)
    assert caught.value.__cause__.__cause__.errno == errno.ENOSPC
    assert caught.value.exit_code == SinkError.exit_code
    assert summary.interrupted
    assert (summary.records, summary.alerts) == (200, 1)
    assert summary.unwritten >= 1


def test_input_that_cannot_be_opened_is_refused(artefact: Artefact, tmp_path: Path) -> None:
    for stream in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError):
            detect(artefact, stream, NullSink())


def test_input_that_breaks_ends_the_run_with_what_was_done(artefact: Artefact) -> None:
    folder = os.open("/", os.O_RDONLY)
    with pytest.raises(RunError, match="directory") as caught:
        detect(artefact, folder, NullSink())
    os.close(folder)
    assert caught.value.exit_code == DataError.exit_code
    assert caught.value.summary.records == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 1.5},
        {"threshold": float("nan")},
        {"window_records": 0},
        {"window_s": 0.0},
        {"window_s": float("nan")},
        {"max_open_alerts": 0},
        {"batch_records": 0},
        {"weighed_features": -1},
        {"bad_rows_kept": -1},
    ],
)
def test_options_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DetectOptions(**wrong)


# In these a process of its own runs, in which the workshop's packages cannot be imported.
CHILD = """
import json, sys
for blocked in ("torch", "onnx", "onnxscript", "openvino", "safetensors", "matplotlib", "jinja2"):
    sys.modules[blocked] = None
from juggler.detect import detect, open_sink
from juggler.runtime import Artefact
artefact = Artefact.load(sys.argv[1], threads=1)
with open_sink("eve", sys.argv[2]) as sink:
    summary = detect(artefact, 0, sink)
print(summary.to_json(), file=sys.stderr)
"""


@pytest.fixture
def child(artefact_path: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [sys.executable, "-W", "error", "-c", CHILD, str(artefact_path), str(tmp_path / "eve.json")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield process
        process.kill()


def wait_for(path: Path, size: int) -> None:
    for _ in range(3000):
        if path.exists() and path.stat().st_size >= size:
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} did not reach {size} bytes")


def test_detection_needs_none_of_the_workshop(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    lines = traffic(300, seed=15)
    _, told = child.communicate(as_bytes(lines), timeout=300)
    assert child.returncode == 0, told
    summary = Summary.from_json(told.decode())
    assert summary.records == 300
    alerts = [valid(line) for line in (tmp_path / "eve.json").read_text().splitlines()]
    states = Counter(t for a in alerts for t in a["alert"]["metadata"]["tag"] if t.startswith("state="))
    assert states == {"state=opened": summary.alerts, "state=closed": summary.alerts}
    assert summary.alerts > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_closes_the_alerts_and_gives_the_summary(
    child: subprocess.Popen[bytes], tmp_path: Path, number: signal.Signals
) -> None:
    assert child.stdin is not None and child.stderr is not None
    child.stdin.write(as_bytes(traffic(50, seed=16)))
    child.stdin.flush()
    wait_for(tmp_path / "eve.json", 1)
    child.send_signal(number)
    summary = Summary.from_json(child.stderr.read().decode())
    assert child.wait(300) == 0
    assert (summary.interrupted, summary.ended_by) == (True, "a request to stop")
    assert summary.records == 50
    text = (tmp_path / "eve.json").read_text()
    assert text.count("state=opened") == text.count("state=closed") == summary.alerts > 0


def test_a_killed_run_leaves_whole_lines(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert child.stdin is not None
    child.stdin.write(as_bytes(traffic(200, seed=17)))
    child.stdin.flush()
    wait_for(tmp_path / "eve.json", 1000)
    child.kill()
    child.wait(300)
    text = (tmp_path / "eve.json").read_text()
    assert text.endswith("\n")
    for line in text.splitlines():
        valid(line)


def test_a_reader_who_hangs_up_ends_the_run_with_a_summary(artefact: Artefact, tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_bytes(as_bytes(traffic(200, seed=18)))
    read_end, write_end = os.pipe()
    os.close(read_end)
    with EveSink(write_end, "a pipe", owned=True) as sink:
        summary = detect(artefact, path, sink)
    assert (summary.interrupted, summary.ended_by) == (True, "the reader of the alerts hung up")
    assert summary.unwritten > 0


def test_standard_input_that_is_closed_is_said(artefact_path: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", CHILD, str(artefact_path), str(tmp_path / "eve.json")]
    command = ["sh", "-c", 'exec "$@" <&-', "sh", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert "DataError: read records from standard input: it is closed" in done.stderr


@pytest.mark.data
def test_nsl_kdd_is_read_whole(artefact: Artefact, tmp_path: Path) -> None:
    """The small detector never saw these records: what is tested is that none of them is lost."""
    found = load_set("nsl-kdd").load("test")
    archive = next(Path(os.environ["JUGGLER_DATA"]).rglob("NSL_KDD.zip"))
    path = tmp_path / "KDDTest+.txt"
    path.write_bytes(zipfile.ZipFile(archive).read("KDDTest+.txt"))
    sink = ListSink()
    summary = detect(artefact, path, sink)
    assert (summary.records, summary.bad_rows, summary.unknown_values) == (len(found), 0, 0)
    assert len(found) == 22_544
    verdicts = Detector(artefact).alarms(found)
    assert summary.alarms == verdicts.is_alarm.sum()
    assert sum(a.count for a in sink.alerts if a.state == "closed") == summary.alarms
