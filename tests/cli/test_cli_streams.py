"""`juggler detect` on whatever comes: live pipes, hostile bytes, hung-up readers, requests to stop."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from commands import PROGRAM, Program, Workshop, environment, run, start
from juggler.data.format import to_csv
from juggler.detect import Detector


def alarming_line(workshop: Workshop) -> bytes:
    """Return the record that the detector is surest of to be an attack, as a line of CSV."""
    scores = Detector(workshop.deployed.flat).alarms(workshop.records).scores
    return to_csv(workshop.records.take([int(np.argmax(scores))]))


def read_line(stream: IO[bytes], seconds: float = 60) -> bytes:
    """Return the next line, or nothing if none comes in time."""
    ready, _, _ = select.select([stream], [], [], seconds)
    return stream.readline() if ready else b""


def test_an_alert_leaves_before_the_stream_ends(workshop: Workshop) -> None:
    line = alarming_line(workshop)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
    with start("detect", "-", "--artefact", workshop.artefact, **pipes) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(line)
        alert = json.loads(read_line(process.stdout))
        assert process.poll() is None, "the process still listens"
        assert alert["event_type"] == "alert" and "state=opened" in alert["alert"]["metadata"]["tag"]
        assert "first_record=1" in alert["alert"]["metadata"]["tag"]
        process.stdin.write(b"no record\n" + line)
        process.stdin.close()
        process.stdin = None
        rest, errors = process.communicate(timeout=300)
        closed = json.loads(rest.decode())
        assert "state=closed" in closed["alert"]["metadata"]["tag"]
        assert "count=2" in closed["alert"]["metadata"]["tag"]
        assert process.returncode == 10
        assert b"line 2:" in errors and b"2 records" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_ends_with_the_summary(workshop: Workshop, number: signal.Signals) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
    with start("detect", "-", "--artefact", workshop.artefact, **pipes) as process:
        assert process.stdin and process.stdout
        process.stdin.write(alarming_line(workshop))
        assert b"state=opened" in read_line(process.stdout)
        process.send_signal(number)
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 130
        assert b"state=closed" in out
        assert b"ended by a request to stop" in errors and b"Traceback" not in errors


HOSTILE = {
    "it is empty": b"",
    "blank and header lines only": b"\n" * 50,
    "a line of 6000000 bytes": b"1," * 3_000_000,
    "it is binary": bytes(range(256)) * 400,
    "expected at most 16384 bytes": b"\1" * 50_000,
    "it is UTF-16 text": ("0,tcp,http,SF\n" * 20).encode("utf-16"),
    "[bold][/nothing] [link=x]": b"[bold][/nothing] [link=x],,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\n",
    "it is JSON": b'{"a": [1, 2, 3]}\n',
    r"\x1b]0;owned\x07": b"\x1b]0;owned\x07,tcp,http,SF" + b",0" * 37 + b"\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_bytes_end_by_name(kind: str, program: Program, workshop: Workshop, tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_bytes(HOSTILE[kind])
    line = ("detect", path, "--artefact", workshop.artefact, "--summary", tmp_path / "summary.json")
    done = program(*line).check(3, kind)
    assert done.out == "" and "\x1b]" not in done.err
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    summary = json.loads(text)
    assert summary["records"] == 0 and summary["ended_by"].startswith("an error: ")
    assert "\x1b" not in text


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e999", "", "0x10", "1_000", "٣"])
def test_a_bad_number_spoils_its_own_row_only(
    value: str, program: Program, workshop: Workshop, tmp_path: Path
) -> None:
    good = workshop.csv.read_text(encoding="utf-8").splitlines()[:30]
    bad = ",".join([value, *good[0].split(",")[1:]])
    path = tmp_path / "records.csv"
    path.write_text("\n".join([*good[:17], bad, *good[17:]]), encoding="utf-8")
    done = program("detect", path, "--artefact", workshop.artefact, "--sink", "null")
    done.check(10, "line 18:", "duration", "30 records", "1 bad rows")


def test_unknown_words_are_counted_and_scored(program: Program, workshop: Workshop, tmp_path: Path) -> None:
    good = workshop.csv.read_text(encoding="utf-8").splitlines()[:30]
    cells = good[3].split(",")
    path = tmp_path / "records.csv"
    path.write_text("\n".join([*good, ",".join([cells[0], "sctp", *cells[2:]])]), encoding="utf-8")
    done = program("detect", path, "--artefact", workshop.artefact, "--sink", "null")
    done.check(0, "31 records", "1 unknown words")


def test_standard_input_may_be_anything(workshop: Workshop, tmp_path: Path) -> None:
    line = ("detect", "-", "--artefact", workshop.artefact, "--sink", "null")
    run(*line, stdin=workshop.csv.read_bytes()).check(0, "2,900 records")
    for_writing = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    try:
        run(*line, stdin=for_writing).check(3, "read on after 0 lines")
    finally:
        os.close(for_writing)


def test_closed_ends_are_told(workshop: Workshop) -> None:
    command = " ".join(f"'{part}'" for part in (*PROGRAM, "detect", "{}", "--artefact", workshop.artefact))

    def shell(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {text}"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    closed_input = shell(command.format("-") + " <&-")
    assert closed_input.returncode == 3 and "standard input" in closed_input.stderr
    closed_output = shell(command.format(workshop.csv) + " >&-")
    assert closed_output.returncode == 8 and "standard output" in closed_output.stderr
    for done in (closed_input, closed_output):
        assert "Traceback" not in done.stderr


def test_a_reader_who_hangs_up_ends_the_run_in_peace(workshop: Workshop) -> None:
    # Records without end, so that the run can only end by the reader.
    text = 'while cat "$1" 2>/dev/null; do :; done | "${@:2}" | head -n 1; echo "${PIPESTATUS[1]}" >&2'
    line = [*PROGRAM, "detect", "-", "--artefact", str(workshop.artefact), "--window-records", "1"]
    done = subprocess.run(
        ["bash", "-c", text, "bash", str(workshop.csv), *line],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert json.loads(done.stdout)["event_type"] == "alert"
    assert "the reader of the alerts hung up" in done.stderr
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert done.stderr.splitlines()[-1] == "0"


@pytest.mark.parametrize("verb", [("info", "--json"), ("doctor",), ("--help",)])
def test_any_verb_stands_a_closed_pipe(verb: tuple[str, ...], workshop: Workshop) -> None:
    words = ["info", str(workshop.artefact), "--json"] if verb[0] == "info" else list(verb)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(*words, stdout=writing)
    finally:
        os.close(writing)
    assert "Traceback" not in done.err and "Exception" not in done.err


@pytest.mark.parametrize("end", ["2>&-", "2>/dev/full", "2> >(exit)", "2> >(sleep 60)"])
def test_trouble_with_standard_error_changes_nothing(end: str, workshop: Workshop, tmp_path: Path) -> None:
    lines = workshop.csv.read_text(encoding="utf-8").splitlines()[:400]
    lines[10:10] = ["no record " * 400] * 300  # enough to fill a pipe that nobody reads
    path, out, summary = tmp_path / "records.csv", tmp_path / "eve.json", tmp_path / "summary.json"
    path.write_text("\n".join(lines), encoding="utf-8")
    line = [*PROGRAM, "detect", path, "--artefact", workshop.artefact, "--out", out, "--summary", summary]
    command = " ".join(f"'{part}'" for part in line)
    done = subprocess.run(
        ["bash", "-c", f"{command} {end}"],
        env=environment(),
        timeout=100,
        check=False,
        stdout=subprocess.DEVNULL,
    )
    assert done.returncode == 10
    told = json.loads(summary.read_text(encoding="utf-8"))
    assert (told["records"], told["bad_rows"], told["unwritten"]) == (400, 300, 0)
    alerts = out.read_text(encoding="utf-8").splitlines()
    assert len(alerts) == 2 * told["alerts"] > 0 and all(json.loads(line) for line in alerts)


def test_bad_rows_are_told_with_a_limit(program: Program, workshop: Workshop, tmp_path: Path) -> None:
    lines = workshop.csv.read_text(encoding="utf-8").splitlines()[:100]
    path = tmp_path / "records.csv"
    path.write_text("\n".join([*lines, *["x"] * 90]), encoding="utf-8")
    done = program("detect", path, "--artefact", workshop.artefact, "--sink", "null").check(10, "90 bad rows")
    assert done.err.count("columns, found 1") == 20 and "more bad rows follow" in done.err


def test_records_that_the_detector_never_saw_have_a_code_of_their_own(
    program: Program, workshop: Workshop, tmp_path: Path
) -> None:
    path, summary = tmp_path / "records.csv", tmp_path / "summary.json"
    path.write_text(workshop.csv.read_text(encoding="utf-8").upper(), encoding="utf-8")
    line = ("detect", path, "--artefact", workshop.artefact, "--out", "a.json", "--summary", summary)
    done = program(*line, "--fail-on-alert").check(11, "DOUBT: protocol_type is unknown", "'TCP'")
    assert done.err.count("DOUBT") == 2 * len(json.loads(summary.read_text(encoding="utf-8"))["doubts"]), (
        "told while it ran and at its end"
    )


@pytest.mark.parametrize(
    "what", ["--out", "--summary", "a link", "standard input", "both in one", "artefact"]
)
def test_nothing_is_written_over_what_is_read(
    what: str, program: Program, workshop: Workshop, tmp_path: Path
) -> None:
    path, link = tmp_path / "records.csv", tmp_path / "link"
    path.write_bytes(workshop.csv.read_bytes()[:-1])  # opening it for alerts would end its last line
    link.symlink_to(path)
    before = path.read_bytes()
    options: dict[str, list[object]] = {
        "--out": [path, "--out", path],
        "--summary": [path, "--summary", path],
        "a link": [path, "--out", link],
        "standard input": ["-", "--out", path],
        "both in one": [path, "--out", tmp_path / "x", "--summary", tmp_path / "x"],
        "artefact": [path, "--out", workshop.artefact],
    }
    line = ["detect", *options[what], "--artefact", workshop.artefact]
    with path.open("rb") as stdin:
        done = run(*line, stdin=stdin) if what == "standard input" else program(*line)
    done.check(2, "it is the file of")
    assert path.read_bytes() == before and not (tmp_path / "x").exists()


def wait_for_handler(process: int, *, is_python: bool) -> None:
    """Wait until Python has taken SIGINT at its start, or until the program has given it back."""
    for _ in range(2000):
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
        caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
        if bool(caught >> (signal.SIGINT - 1) & 1) == is_python:
            return
        time.sleep(0.005)


@pytest.mark.parametrize("seconds", [0, 0.2, 0.5, 1.0, 2.0])
def test_an_interrupt_is_quiet_at_any_moment(workshop: Workshop, seconds: float) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start("detect", "-", "--artefact", workshop.artefact, **pipes) as process:
        wait_for_handler(process.pid, is_python=True)
        wait_for_handler(process.pid, is_python=False)  # until here it is Python's own start
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=100)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in errors.decode() and "Exception" not in errors.decode()


def test_the_summary_is_written_where_there_is_no_run(
    program: Program, workshop: Workshop, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.json"
    summary.write_text('{"records": 7, "ended_by": "end of input"}', encoding="utf-8")  # of an earlier run
    line = ("detect", workshop.csv, "--artefact", workshop.artefact, "--summary", summary)
    for extra, code in ((("--out", tmp_path / "no" / "such"), 8), (("--backend", "tensorrt"), 5)):
        program(*line, *extra).check(code)
        told = json.loads(summary.read_text(encoding="utf-8"))
        assert told["records"] == 0 and told["ended_by"].startswith("an error: ") and told["interrupted"]
    program("detect", tmp_path / "none", *line[2:]).check(3)
    assert "No such file" in json.loads(summary.read_text(encoding="utf-8"))["ended_by"]
