"""Watch a live stream of records with a detector, and be called for every alert.

    python examples/watch_a_stream.py [ARTEFACT]

A thread writes records into a pipe, a few at a time, as an extractor would; the detector reads the other end
and hands its alerts to a sink of our own. Without an artefact, a small detector is trained on the synthetic
set first, which takes a few seconds and says nothing of real traffic.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import juggler
from juggler.data.format import to_csv
from juggler.detect import DetectOptions, detect
from juggler.nouns import Alert


class Printer:
    """A sink: takes each alert when it opens and again when it ends."""

    name = "printer"

    def __init__(self) -> None:
        self.written = 0

    def write(self, alert: Alert) -> None:
        """Print one alert; a real sink would call a pager or a controller."""
        self.written += 1
        if alert.state == "opened":
            why = ", ".join(list(alert.weighed)[:2])
            print(
                f"line {alert.first_record}: {alert.attack_class}, score {alert.score:.3f}, because of {why}"
            )
        else:
            print(f"line {alert.last_record}: that {alert.attack_class} is over after {alert.count} records")


def trained(folder: Path) -> Path:
    """Train a small detector on the synthetic set and return its artefact."""
    from juggler.models import Plan, Recipe  # noqa: PLC0415  # torch is needed to train, not to detect

    recipe = Recipe(epochs=1, batch_size=128, optimizer="adamw", learning_rate=0.01)
    options = {"widths": [8], "blocks": [1], "strides": [1]}
    data = juggler.load_set("synthetic")
    detector = juggler.train_detector(Plan(data="synthetic", options=options, recipe=recipe), data)
    return juggler.deploy(detector, data.training(), folder).flat.path


def feed(descriptor: int, lines: list[bytes]) -> None:
    """Write the lines in small bursts, then hang up."""
    with open(descriptor, "wb", buffering=0) as pipe:
        for start in range(0, len(lines), 20):
            pipe.write(b"".join(lines[start : start + 20]))
            time.sleep(0.005)


def main() -> None:
    """Connect the two ends and print the summary."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else trained(Path(folder))
        artefact = juggler.Artefact.load(path, threads=1)
    lines = to_csv(juggler.load_set("synthetic").load("test")).splitlines(keepends=True)[:600]
    lines.insert(300, b"this,is,no,record\n")  # a bad row is counted and told, and the run goes on

    reader, writer = os.pipe()
    feeder = threading.Thread(target=feed, args=(writer, lines))
    feeder.start()
    summary = detect(
        artefact,
        reader,
        Printer(),
        options=DetectOptions(window_records=200, window_s=5.0),
        on_bad_row=lambda row: print(f"line {row.line}: no record, {row.reason}"),
    )
    feeder.join()
    os.close(reader)
    print(
        f"{summary.records} records, {summary.alarms} alarms in {summary.alerts} alerts, "
        f"{summary.bad_rows} bad row; {summary.ended_by}"
    )


if __name__ == "__main__":
    main()
