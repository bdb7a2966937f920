"""`juggler detect`: records in, alerts out."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from juggler.cli.audience import PLANT
from juggler.cli.console import bar
from juggler.cli.detecting import Account, check_targets, exit_code
from juggler.detect import DetectOptions, looks_like_capture, open_sink
from juggler.detect import detect as run_detector
from juggler.detect import detect_capture as run_on_capture
from juggler.runtime import Artefact, open_session
from juggler.runtime.artefact import shipped

Records = Annotated[
    str, typer.Argument(help="CSV records, one a line, or a pcap; '-' reads records from standard input.")
]
Detector = Annotated[Path | None, typer.Option(help="An .onnx artefact; the shipped detector if absent.")]
Alerts = Annotated[str, typer.Option("--out", help="File for the alerts; '-' is standard output.")]
Kind = Annotated[str, typer.Option(help="What becomes of alerts: eve (EVE JSON lines) or null.")]
Threshold = Annotated[
    float | None,
    typer.Option(help="Alarm from this 1 - p(normal) on; the artefact's own, see juggler info, if absent."),
]
Window = Annotated[int, typer.Option(help="An alert ends after so many records without another of its kind.")]
Seconds = Annotated[float, typer.Option(help="... or after so many seconds.")]
Backend = Annotated[str, typer.Option(help="What runs the network, see juggler doctor.")]
Summarise = Annotated[Path | None, typer.Option("--summary", help="Write the summary as JSON to this file.")]
Trust = Annotated[Path | None, typer.Option(help="Take only an artefact that the owner of this key signed.")]
Fail = Annotated[bool, typer.Option("--fail-on-alert", help="Exit with 1 if there was an alert.")]


def detect(
    records: Records,
    artefact: Detector = None,
    out: Alerts = "-",
    sink: Kind = "eve",
    threshold: Threshold = None,
    window_records: Window = 1000,
    window_s: Seconds = 60.0,
    backend: Backend = "onnxruntime",
    summary: Summarise = None,
    fail_on_alert: Fail = False,
    trust: Trust = None,
) -> None:
    """Read records or a capture, write aggregated alerts as EVE JSON lines, end with a summary.

    A header line names the columns; without one they stand in the detector's order. Bad rows are told with
    their line, the first of them, and passed over. What holds no records ends at once, by name; records such
    as the detector never saw end with an exit code of their own. SIGHUP, or moving the alert file away, opens
    it anew. Exit codes: see the end of `juggler --help`.

    Of a capture (pcap or pcapng, compressed or not) the packets are put into flows first; every one of them
    is accounted for, and alerts carry addresses, ports and the capture's own time.

    Examples: juggler detect records.csv --out eve.json; juggler detect capture.pcapng.gz;

    tail -f records.csv | juggler detect -
    """
    path = artefact or shipped("nsl_kdd.onnx")
    check_targets(records, out if sink != "null" else None, summary, path)
    account = Account(summary)
    quiet = records == "-" or not (sys.stderr and sys.stderr.isatty())
    try:
        opened = Artefact.load(path, threads=1 if records == "-" else None, trust=trust)
        options = DetectOptions(threshold=threshold, window_records=window_records, window_s=window_s)
        session = None if backend == "onnxruntime" else open_session(opened.graph, backend)
        with (
            open_sink(sink, out) as target,
            nullcontext() if quiet else bar(f"detecting in {records}") as report,
        ):
            shared: dict[str, Any] = {
                "options": options,
                "session": session,
                "on_progress": report,
                "on_summary": account.end,
            }
            if looks_like_capture(records):
                done = run_on_capture(opened, records, target, **shared)
            else:
                stream = 0 if records == "-" else records
                callbacks: dict[str, Any] = {"on_bad_row": account.bad_row, "on_doubt": account.doubts}
                done = run_detector(opened, stream, target, **shared, **callbacks)
    except BaseException as error:
        account.close(error)
        raise
    account.close()
    raise typer.Exit(exit_code(done, fail_on_alert=fail_on_alert))


VERB = detect
PANEL = PLANT
