"""`juggler detect` on whatever comes: live pipes, hostile bytes, hung-up readers, requests to stop."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
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
    "empty": (b"", 0),
    "empty lines": (b"\n" * 50, 10),
    "a huge line": (b"1," * 3_000_000, 10),
    "binary": (bytes(range(256)) * 400, 10),
    "nul bytes": (b"\0" * 100_000, 10),
    "utf-16": (("0,tcp,http,SF\n" * 20).encode("utf-16"), 10),
    "markup": (b"[bold][/nothing] [link=x]\n", 10),
    "a json file": (b'{"a": [1, 2, 3]}\n', 10),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_bytes_are_bad_rows(kind: str, program: Program, workshop: Workshop, tmp_path: Path) -> None:
    content, code = HOSTILE[kind]
    path = tmp_path / "records.csv"
    path.write_bytes(content)
    line = ("detect", path, "--artefact", workshop.artefact, "--summary", tmp_path / "summary.json")
    done = program(*line).check(code, "0 records", "0 alerts")
    assert done.out == ""
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    lines = content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
    assert (summary["records"], summary["bad_rows"]) == (0, lines)


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
