"""The detector: 0.15 ms a record, 20,000 records/s end to end below 500 MB, p99 of a stream below 2 ms.

- One record: median of the flat network on ONNX Runtime, one core, against the wide one in the same race.
- End to end: `juggler detect` as a process of its own over KDDTest+ five times over, from CSV to EVE lines,
  on all cores: records/s with the start of the process and without, and its peak resident memory.
- Stream, in the process: every record of a sample goes alone through a pipe, the reader, the parser, the
  network, aggregation and the EVE sink; the time from writing its line until the run is ready for the next.
- Stream, from outside: lines written one by one, at a gentle rate, into the standard input of a real
  `juggler detect -`; the time from writing a line until the alert that it opens can be read from its
  standard output. The window is one record, so that nearly every alarm opens an alert, which is more work
  than a detector does in the field: what weighed most is worked out for each.
Needs the NSL-KDD files (JUGGLER_DATA, the cache, or a download).
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.claims.detect_process import alert_latencies, run_over
from benchmarks.common import Finding, options, progress, reporting, write
from juggler.data.sets.nsl_kdd import FILES
from juggler.data.source import Source
from juggler.detect import DetectOptions, Detector, StopRequest, open_sink
from juggler.detect.reader import LineReader
from juggler.detect.run import Run  # the loop of `detect` is taken apart here, to time each turn of it
from juggler.models import TrainedDetector
from juggler.runtime import Artefact
from juggler.runtime.artefact import shipped
from juggler.runtime.export import export
from juggler.runtime.measure.speed import measure

LIMIT_MS, LIMIT_PER_S, LIMIT_MB, LIMIT_P99_MS = 0.15, 20_000, 500, 2.0
COPIES, REPEATS, STREAMED, RATE_PER_S = 5, 5, 5000, 200


def main() -> None:
    """Measure all four, judge, write the result file."""
    parser = options(__doc__)
    parser.add_argument("--folder", type=Path, help="holds nsl_kdd.onnx and .safetensors; default: shipped")
    given = parser.parse_args()
    flat, wide = (_file(given.folder, f"nsl_kdd.{ending}") for ending in ("onnx", "safetensors"))
    records = Source().fetch(FILES["test"]).data
    lines = records.splitlines(keepends=True)
    sample = np.random.default_rng(0).permutation(len(lines))[: STREAMED // (10 if given.quick else 1)]
    drawn = [lines[i] for i in sample]
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "artefact_sha256": Artefact.load(flat).sha256,
            "one_record": one_record(flat, wide, rounds=10 if given.quick else 60),
            "end_to_end": end_to_end(
                flat, records * COPIES, Path(folder), repeats=2 if given.quick else REPEATS
            ),
            "service": service(flat, drawn, Path(folder) / "eve.json"),
            "alerts": outside(flat, drawn[: len(drawn) * 3 // 5]),
        }
    write("detector_speed", __doc__, judge(found), found, quick=given.quick)


def _file(folder: Path | None, name: str) -> Path:
    return shipped(name) if folder is None else folder / name


def one_record(flat: Path, wide: Path, *, rounds: int) -> dict[str, Any]:
    """Race the wide network and the flat one on one record, one core."""
    artefact, network = Artefact.load(flat), TrainedDetector.load(wide).network
    shape = artefact.encoder.shape
    graphs = {"wide": export(network, torch.randn(2, *shape)), "flat": artefact.graph}
    with progress("one record") as tell:
        measured = measure(
            graphs,
            ["onnxruntime"],
            shape=shape,
            threads=1,
            rounds=rounds,
            min_block_ms=20.0,
            progress=reporting(tell),
        )
    times = {timing.subject: timing.to_dict() for timing in measured.timings}
    return {"rounds": rounds, **times, "flat_against_wide": measured.speedups[0].to_dict()}


def end_to_end(artefact: Path, records: bytes, folder: Path, *, repeats: int) -> dict[str, Any]:
    """Run `juggler detect` over a file again and again, the first time to warm the machine's file cache."""
    path = folder / "records.csv"
    path.write_bytes(records)
    runs = []
    with progress("end to end") as tell:
        for i in range(repeats + 1):
            tell(i, repeats + 1)
            runs.append(run_over(path, artefact, folder))
        tell(repeats + 1, repeats + 1)
    kept = runs[1:]
    keys = ("records_per_s", "records_per_s_without_start", "peak_rss_mb", "seconds", "cpu_seconds")
    medians = {key: float(np.median([run[key] for run in kept])) for key in keys}
    return {"records": kept[0]["records"], "repeats": repeats, "median": medians, "runs": kept}


def service(artefact: Path, lines: list[bytes], alerts: Path) -> dict[str, Any]:
    """Take the loop of `juggler.detect` apart: one line in, one turn, until it is ready for the next."""
    detector = Detector(Artefact.load(artefact, threads=1))
    inward, outward = os.pipe()
    taken_ms = np.empty(len(lines))
    options_ = DetectOptions(window_records=1)
    with (
        progress("stream, in the process") as tell,
        StopRequest() as stop,
        open_sink("eve", str(alerts)) as sink,
    ):
        run = Run(detector, sink, options_, None)
        pieces = iter(LineReader(inward, stop))
        for i, line in enumerate(lines):
            start_ns = time.perf_counter_ns()
            os.write(outward, line)
            run.take(next(pieces))
            taken_ms[i] = (time.perf_counter_ns() - start_ns) / 1e6
            if i % 500 == 0:
                tell(i, len(lines))
        tell(len(lines), len(lines))
        os.close(outward)
        run.close()
        done = run.summary()
    os.close(inward)
    return {"records": done.records, "alarms": done.alarms, "alerts": done.alerts, **spread(taken_ms)}


def outside(artefact: Path, lines: list[bytes]) -> dict[str, Any]:
    """Time the way from a line written to its alert read, through a process of its own."""
    with progress("stream, from outside") as tell:
        latencies_ms = alert_latencies(artefact, lines, rate_per_s=RATE_PER_S, tell=tell)
    return {
        "records": len(lines),
        "alerts": len(latencies_ms),
        "rate_per_s": RATE_PER_S,
        **spread(latencies_ms),
    }


def spread(values_ms: np.ndarray) -> dict[str, float]:
    """Return the median and the tail, and the 95 % interval of p99 from resamples."""
    draws = np.random.default_rng(0).integers(values_ms.size, size=(1000, values_ms.size))
    low, high = np.percentile(np.percentile(values_ms[draws], 99, axis=1), (2.5, 97.5))
    found = {f"p{q}_ms": float(np.percentile(values_ms, q)) for q in (50, 95, 99, 99.9)}
    return {**found, "max_ms": float(values_ms.max()), "p99_low_ms": float(low), "p99_high_ms": float(high)}


def judge(found: dict[str, Any]) -> list[Finding]:
    """Hold every figure against its claim."""
    one, whole = found["one_record"], found["end_to_end"]
    gain, flat, wide, medians = one["flat_against_wide"], one["flat"], one["wide"], whole["median"]
    rates = medians["records_per_s"], medians["records_per_s_without_start"]
    streams = {"from its line to the next": found["service"], "from its line to its alert": found["alerts"]}
    runs = f"{whole['repeats']} runs of {whole['records']:,} records"
    return [
        Finding(
            f"Flat detector, ONNX Runtime, one record, one core: at most {LIMIT_MS} ms median",
            f"{flat['median_ms']:.4f} ms; {gain['median']:.2f}x as fast as wide ({wide['median_ms']:.4f} ms)",
            f"{flat['calls']:,} calls in {one['rounds']} rounds, {gain['low']:.2f} to {gain['high']:.2f}",
            flat["median_ms"] <= LIMIT_MS,
        ),
        Finding(
            f"`juggler detect` end to end, process start included: at least {LIMIT_PER_S:,} records/s",
            f"{rates[0]:,.0f}/s ({rates[1]:,.0f}/s without the start)",
            runs,
            rates[0] >= LIMIT_PER_S,
        ),
        Finding(
            f"Its peak resident memory: below {LIMIT_MB} MB",
            f"{medians['peak_rss_mb']:.0f} MB",
            runs,
            medians["peak_rss_mb"] < LIMIT_MB,
        ),
        *(
            Finding(
                f"p99 of a streamed record, {way}: below {LIMIT_P99_MS:g} ms",
                f"{stream['p99_ms']:.2f} ms (median {stream['p50_ms']:.2f} ms)",
                f"{stream['records' if stream is found['service'] else 'alerts']:,}, "
                f"{stream['p99_low_ms']:.2f} to {stream['p99_high_ms']:.2f} ms",
                stream["p99_ms"] < LIMIT_P99_MS,
            )
            for way, stream in streams.items()
        ),
    ]


if __name__ == "__main__":
    main()
