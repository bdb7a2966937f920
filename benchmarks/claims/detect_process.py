"""Run `juggler detect` as users do, in a process of its own, and watch it from outside."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

POLL_S = 0.01
PROGRAM = (sys.executable, "-c", "from juggler.cli.app import main; main()", "detect")


def run_over(records: Path, artefact: Path, folder: Path) -> dict[str, Any]:
    """Run it over a file; return records/s, with the start of the process and without, and its peak memory.

    The peak is the kernel's own (VmHWM), read until the process ends: what `wait4` reports would include
    the memory of the process that started it.
    """
    alerts, summary = folder / "alerts.json", folder / "summary.json"
    alerts.unlink(missing_ok=True)
    command = [*PROGRAM, str(records), "--artefact", str(artefact), "--out", str(alerts)]
    before_s, start = _children_s(), time.perf_counter()
    with subprocess.Popen([*command, "--summary", str(summary)], stderr=subprocess.PIPE) as process:
        peak_kib = 0
        while process.poll() is None:
            peak_kib = max(peak_kib, _peak_kib(process.pid))
            time.sleep(POLL_S)
        seconds = time.perf_counter() - start
        _check(process)
    done = json.loads(summary.read_text(encoding="utf-8"))
    return {
        "records": done["records"],
        "bad_rows": done["bad_rows"],
        "alarms": done["alarms"],
        "alerts": done["alerts"],
        "seconds": seconds,
        "cpu_seconds": _children_s() - before_s,
        "records_per_s": done["records"] / seconds,
        "records_per_s_without_start": done["records"] / done["seconds"],
        "peak_rss_mb": peak_kib * 1024 / 1e6,
    }


def alert_latencies(
    artefact: Path, lines: list[bytes], *, rate_per_s: float, tell: Callable[[int, int], None]
) -> np.ndarray:
    """Write lines one by one; return the time from each to the alert that it opened, in ms, `[alerts]`."""
    command = [*PROGRAM, "-", "--artefact", str(artefact), "--window-records", "1"]
    written_ns = np.zeros(len(lines) + 1, dtype=np.int64)
    seen_ns: dict[int, int] = {}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101  # asked for above
        listener = threading.Thread(target=_listen, args=(process.stdout.fileno(), seen_ns))
        listener.start()
        time.sleep(2.0)  # its start, which is not what is timed
        due_s = time.perf_counter()
        for number, line in enumerate(lines, start=1):
            due_s += 1 / rate_per_s
            time.sleep(max(0.0, due_s - time.perf_counter()))
            written_ns[number] = time.perf_counter_ns()
            process.stdin.write(line)
            if number % 100 == 0:
                tell(number, len(lines))
        process.stdin.close()
        listener.join()
        process.wait()
        _check(process)
    return np.array([(at_ns - written_ns[number]) / 1e6 for number, at_ns in sorted(seen_ns.items())])


def _listen(descriptor: int, seen_ns: dict[int, int]) -> None:
    """Note when the alert that a record opened could be read, by the record's number."""
    rest = b""
    while chunk := os.read(descriptor, 1 << 16):
        now_ns = time.perf_counter_ns()
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            tags = dict(tag.split("=", 1) for tag in json.loads(line)["alert"]["metadata"]["tag"])
            if tags["state"] == "opened":
                seen_ns[int(tags["first_record"])] = now_ns


def _peak_kib(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


def _children_s() -> float:
    """Return the processor time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _check(process: subprocess.Popen[bytes]) -> None:
    if process.returncode:
        words = process.stderr.read().decode(errors="replace") if process.stderr else ""
        raise SystemExit(f"juggler detect ended with {process.returncode}: {words[-500:]}")
