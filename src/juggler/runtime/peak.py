"""Measure the peak memory of a network on a backend, in a fresh process: `python -m juggler.runtime.peak`.

The peak is of the whole process, from its start: what a machine needs to run the network so, libraries and
opening included. Backends that take modules import the graph first, and that is included too.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from juggler.errors import JugglerError, Unavailable
from juggler.runtime.open import open_session
from juggler.runtime.precision import FLOAT32

CALLS = 5
LIMIT_S = 600


def peak_rss_mib(
    path: Path,
    backend: str,
    shape: Sequence[int],
    *,
    threads: int | None = None,
    precision: str = FLOAT32,
) -> float:
    """Return the largest resident memory of a new process that opens and runs the network, in MiB.

    Args:
        path: the ONNX model.
        backend: what runs it.
        shape: the input's shape, batch first.
        threads: cores that one call may use.
        precision: what it runs in.

    Raises:
        Unavailable: the process failed; the message holds its last words.
    """
    sizes = ",".join(map(str, shape))
    network = [str(path), backend, sizes, str(threads or 0), precision]
    command = [sys.executable, "-m", "juggler.runtime.peak", *network]
    asked = f"measure the memory of {path.name} on {backend}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise Unavailable(asked, f"no end after {LIMIT_S} s", "Leave memory=True out") from error
    if done.returncode:
        words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise Unavailable(asked, words, "Leave memory=True out, or mend what it says")
    peak: float = json.loads(done.stdout.splitlines()[-1])["peak_rss_mib"]
    return peak


def main(arguments: Sequence[str]) -> int:
    """Open and run the network that the arguments name; write the peak as JSON."""
    path, backend, sizes, threads, precision = arguments
    shape = tuple(int(size) for size in sizes.split(","))
    array = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    try:
        with open_session(path, backend, threads=int(threads) or None, precision=precision) as session:
            for _ in range(CALLS):
                session.run(array)
    except JugglerError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps({"peak_rss_mib": _own_peak_mib()}) + "\n")
    return 0


def _own_peak_mib() -> float:
    """Return the peak of this process; Linux counts a parent's into `ru_maxrss`, so VmHWM comes first."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
        if peaks:
            return peaks[0] / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
