"""Measure the peak memory of a network on a backend, in a fresh process.

That process is `python -m juggler.runtime.measure.peak`.

Two figures: the peak of the whole process from its start, which is what a machine needs to run the network
so, libraries included; and what the network adds to a process in which the backend has run before, opening
included. Backends that take modules import the graph first, and both figures include that.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from juggler.errors import JugglerError, Unavailable
from juggler.nouns import Noun
from juggler.reading.documents import parse_object
from juggler.reading.request import Request
from juggler.runtime.measure.contenders import Shapes, drawn_input, shapes_of
from juggler.runtime.open import open_session
from juggler.runtime.precision import FLOAT32, INT8

CALLS = 5
LIMIT_S = 600
MIB = 2**20

# An ONNX graph of one Relu, `[batch, 1]`: whoever has run it has loaded all that the backend needs. Bytes,
# because the base install, which can measure too, has no onnx package to write it with.
ONE_OP = (
    b'\x08\x08:\\\n\x15\n\x05input\x12\x06output"\x04Relu\x12\x06one_opZ\x1c\n\x05input\x12\x13\n\x11\x08\x01'
    b"\x12\r\n\x07\x12\x05batch\n\x02\x08\x01b\x1d\n\x06output\x12\x13\n\x11\x08\x01\x12\r\n\x07\x12\x05batch"
    b"\n\x02\x08\x01B\x04\n\x00\x10\r"
)


@dataclass(frozen=True)
class Peak(Noun):
    """The memory that a network takes to open and run, measured.

    Attributes:
        subject: the network.
        backend: what ran it.
        precision: what it was run in.
        batch: inputs a call.
        process_mib: largest resident memory of the process, libraries included.
        network_mib: by how much that is above what was resident just before the network was opened, when the
            backend had run a network of one op.
    """

    subject: str
    backend: str
    precision: str
    batch: int
    process_mib: float
    network_mib: float


def measure_peak(
    path: Path,
    backend: str,
    shape: Shapes,
    *,
    threads: int | None = None,
    precision: str = FLOAT32,
    subject: str | None = None,
) -> Peak:
    """Open and run a network in a new process, and return the memory that it takes.

    Args:
        path: the ONNX model; quantised already, where `precision` is int8.
        backend: what runs it.
        shape: the input's shape, batch first, or one shape an input.
        threads: cores that one call may use.
        precision: what it runs in.
        subject: the network's name; the file's without its ending, if absent.

    Raises:
        Unavailable: the process failed; the message holds its last words.
    """
    shapes = shapes_of(shape)
    sizes = ";".join(",".join(map(str, sizes)) for sizes in shapes)
    network = [str(path), backend, sizes, str(threads or 0), precision]
    command = [sys.executable, "-m", "juggler.runtime.measure.peak", *network]
    task = f"measure the memory of {path.name} on {backend}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise Unavailable(task, f"no end after {LIMIT_S} s", "Leave memory=True out") from error
    if done.returncode:
        words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise Unavailable(task, words, "Leave memory=True out, or mend what it says")
    readings = parse_object(done.stdout.splitlines()[-1], Request(task, "Leave memory=True out"))
    return Peak(subject or path.stem, backend, precision, shapes[0][0], **readings)


def peak_rss_mib(
    path: Path,
    backend: str,
    shape: Shapes,
    *,
    threads: int | None = None,
    precision: str = FLOAT32,
) -> float:
    """Return the largest resident memory of a new process that opens and runs the network, in MiB.

    Raises:
        Unavailable: as `measure_peak`.
    """
    return measure_peak(path, backend, shape, threads=threads, precision=precision).process_mib


def main(arguments: Sequence[str]) -> int:
    """Open and run the network that the arguments name; write its peaks as JSON."""
    path, backend, sizes, threads, precision = arguments
    shapes = [tuple(int(size) for size in part.split(",")) for part in sizes.split(";")]
    cores = int(threads) or None
    try:
        _run(ONE_OP, backend, [(shapes[0][0], 1)], cores, FLOAT32 if precision == INT8 else precision)
        gc.collect()
        before, first = _resident_mib(), own_peak_mib()
        is_reset = _reset_own_peak()
        after = _run(path, backend, shapes, cores, precision)
    except JugglerError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    last = own_peak_mib()
    # Where the mark stands from before and was not passed, what is resident now is the best there is.
    top = last if is_reset or last > first else after
    peaks = {"process_mib": max(first, last), "network_mib": max(0.0, top - before)}
    sys.stdout.write(json.dumps(peaks) + "\n")
    return 0


def _run(
    model: str | bytes, backend: str, shapes: list[tuple[int, ...]], threads: int | None, precision: str
) -> float:
    """Open the network and call it; return what is resident at the end, in MiB."""
    with open_session(model, backend, threads=threads, precision=precision) as session:
        dtypes = [spec.dtype for spec in session.inputs]
        arrays = [drawn_input(sizes, dtype, 0) for sizes, dtype in zip(shapes, dtypes, strict=False)]
        for _ in range(CALLS):
            session.run(*arrays)
        return _resident_mib()


def _resident_mib() -> float:
    return float(psutil.Process().memory_info().rss) / MIB


def _reset_own_peak() -> bool:
    """Lower Linux's mark of this process's peak to what is resident now; say whether that was possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:  # another system, or a sandbox that forbids it
        return False
    return True


def own_peak_mib() -> float:
    """Return the peak of this process; Linux counts a parent's into `ru_maxrss`, so VmHWM comes first."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
        if peaks:
            return peaks[0] / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
