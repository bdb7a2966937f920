"""Runs the worker, watches its time, starts another where one dies, and counts."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import juggler

CPU_S, MEMORY_MIB = 10.0, 1024.0
"""What a malformed file may take."""
WALL_S = 120.0  # on a machine that does other work too
TESTS = Path(__file__).resolve().parents[1]


@dataclass
class Outcome:
    """What a run of the fuzzer counted.

    Attributes:
        counts: files by target and by how they ended: `read`, `refused`, `exception`, `unprintable`, `died`,
            `time` or `memory`.
        faults: by a signature, the first file that ended as none should: its number, and what was seen.
        most_cpu_s: of one file, by target.
        most_mib: of one file, by target.
        seconds: that the run took.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    faults: dict[str, dict[str, object]] = field(default_factory=dict)
    most_cpu_s: dict[str, float] = field(default_factory=dict)
    most_mib: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, target: str, number: int, how: str, detail: str) -> None:
        """Count one file, and keep it where it is the first of its fault."""
        self.counts.setdefault(target, Counter())[how] += 1
        if how not in ("read", "refused"):
            signature = f"{target} | {how} | {signature_of(detail)}"
            record = self.faults.setdefault(
                signature, {"target": target, "number": number, "times": 0, "detail": detail}
            )
            record["times"] = int(str(record["times"])) + 1


def signature_of(detail: str) -> str:
    """Return what two tracebacks of one fault have in common: the error, and the last line of ours."""
    places = re.findall(r'File "[^"]*?/(juggler/[^"]+)", line (\d+)', detail)
    last = (detail.strip().splitlines() or [""])[-1]
    return f"{places[-1] if places else ''} {last.split(':')[0][:80]}"


def fuzz(
    targets: Sequence[str],
    seconds: float,
    *,
    seeds: Path,
    seed: int = 0,
    first: int = 0,
    told: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Read changed files for so long, whatever happens to the process that does.

    Args:
        targets: names of readers.
        seconds: of the clock on the wall, what the processes need to start left out.
        seeds: folder that keeps good files.
        seed: other ones give other files.
        first: number of the first file.
        told: given a line for every new fault.
    """
    outcome = Outcome()
    while outcome.seconds < seconds:
        run = _Run(outcome, targets, seconds - outcome.seconds, seeds, seed, told)
        first = run.worker(first) + 1
        outcome.seconds += run.seconds
    return outcome


@dataclass
class _Run:
    """One worker, from its start to the end of the time, or of itself."""

    outcome: Outcome
    targets: Sequence[str]
    left_s: float
    seeds: Path
    seed: int
    told: Callable[[str], None]
    seconds: float = 0.0
    current: str = ""
    number: int = 0
    start: float = 0.0
    start_cpu: float = 0.0
    first_at: float | None = None

    def worker(self, first: int) -> int:
        """Run it; return the number of the file that it was at."""
        source = str(Path(juggler.__file__).parents[1])
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([source, str(TESTS), str(TESTS.parent)]),
            **dict.fromkeys(("OMP_NUM_THREADS", "JUGGLER_OFFLINE", "MALLOC_ARENA_MAX"), "1"),
        }
        command = [
            sys.executable,
            "-m",
            "fuzz.worker",
            str(self.seeds),
            str(self.seed),
            str(first),
            *self.targets,
        ]
        self.number = first
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment) as process,
        ):
            try:
                how = self._watch(process)
            finally:
                process.kill()
            code = process.wait()
            if how and not self.current:
                errors.seek(max(0, errors.tell() - 2000))
                words = errors.read().decode("utf-8", "replace")
                raise RuntimeError(f"the worker ended between two files: exit code {code}: {words}")
        self.seconds = time.monotonic() - (self.first_at or time.monotonic())
        if how:
            detail = f"exit code {code}" if how == "died" else "no end"
            _note(self.outcome, self.current, self.number, [how, 0.0, 0.0, detail], self.told)
        return self.number

    def _watch(self, process: subprocess.Popen[bytes]) -> str:
        """Take what the worker reports; return how it ended, nothing where the time is over."""
        assert process.stdout is not None
        buffer = b""
        while self.first_at is None or time.monotonic() - self.first_at < self.left_s:
            ready, _, _ = select.select([process.stdout], [], [], 0.5)
            if not ready:
                if self.current and self._is_late(process.pid):
                    return "time"
                continue
            piece = os.read(process.stdout.fileno(), 1 << 16)
            if not piece:
                return "died"
            *lines, buffer = (buffer + piece).split(b"\n")
            for line in lines:
                self._take(process.pid, *json.loads(line))
        return ""

    def _is_late(self, pid: int) -> bool:
        spent = _cpu_s(pid) - self.start_cpu
        return spent > CPU_S + 2 or time.monotonic() - self.start > WALL_S

    def _take(self, pid: int, kind: str, *values: object) -> None:
        now = time.monotonic()
        if kind == "start":
            self.first_at = self.first_at or now
            self.current, self.number = str(values[0]), int(str(values[1]))
            self.start_cpu, self.start = _cpu_s(pid), now
        else:
            _note(self.outcome, self.current, self.number, list(values), self.told)
            self.current = ""


def _note(
    outcome: Outcome, target: str, number: int, values: list[object], told: Callable[[str], None]
) -> None:
    how, cpu_s, mib, detail = str(values[0]), float(str(values[1])), float(str(values[2])), str(values[3])
    if cpu_s > CPU_S:
        how, detail = "time", f"{cpu_s:.1f} s of the processor"
    elif mib > MEMORY_MIB:
        how, detail = "memory", f"{mib:.0f} MiB"
    known = len(outcome.faults)
    outcome.add(target, number, how, detail)
    outcome.most_cpu_s[target] = max(outcome.most_cpu_s.get(target, 0.0), cpu_s)
    outcome.most_mib[target] = max(outcome.most_mib.get(target, 0.0), mib)
    if len(outcome.faults) > known:
        told(f"{target} {number}: {how}: {detail[-400:]}")


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
