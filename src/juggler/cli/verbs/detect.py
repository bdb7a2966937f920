"""`juggler detect`: records in, alerts out."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.audience import PLANT
from juggler.cli.console import ERRORS, bar, escape
from juggler.data import BadRow
from juggler.detect import DetectOptions, RunError, Summary, open_sink
from juggler.detect import detect as run_detector
from juggler.files import write_atomically
from juggler.runtime import Artefact, open_session
from juggler.runtime.artefact import shipped

BAD_ROWS_EXIT, ALERT_EXIT, INTERRUPTED_EXIT = 10, 1, 130
Records = Annotated[
    str, typer.Argument(help="CSV records, one a line; '-' reads standard input as it comes.")
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
) -> None:
    """Read records, write aggregated alerts as EVE JSON lines, end with a summary.

    A bad row is reported with its line and passed over. Exit codes: 0 done; 1 an alert, with
    --fail-on-alert; 3 the input cannot be read; 4 the artefact cannot be used;
    8 alerts cannot be written; 10 done, but rows were bad; 130 stopped by Ctrl-C or SIGTERM.

    Examples: juggler detect records.csv --out eve.json; tail -f records.csv | juggler detect -
    """
    opened = Artefact.load(artefact or shipped("nsl_kdd.onnx"), threads=1 if records == "-" else None)
    options = DetectOptions(threshold=threshold, window_records=window_records, window_s=window_s)
    session = None if backend == "onnxruntime" else open_session(opened.graph, backend)
    quiet = records == "-" or not sys.stderr.isatty()
    with open_sink(sink, out) as target, nullcontext() if quiet else bar(f"detecting in {records}") as report:
        try:
            done = run_detector(
                opened,
                0 if records == "-" else records,
                target,
                options=options,
                session=session,
                on_progress=report,
                on_bad_row=_report,
            )
        except RunError as error:
            _tell(error.summary)
            raise
    _tell(done)
    if summary is not None:
        write_atomically(summary, done.to_json(indent=2).encode())
    if done.ended_by == "a request to stop":
        raise typer.Exit(INTERRUPTED_EXIT)
    code = ALERT_EXIT if fail_on_alert and done.alerts else BAD_ROWS_EXIT if done.bad_rows else 0
    raise typer.Exit(code)


def _report(row: BadRow) -> None:
    ERRORS.print(f"[yellow]line {row.line}[/]: {escape(row.reason)}", soft_wrap=True, highlight=False)


def _tell(done: Summary) -> None:
    classes = ", ".join(f"{name} {count:,}" for name, count in sorted(done.by_class.items())) or "none"
    rate = done.records / done.seconds if done.seconds else 0.0
    ERRORS.print(
        f"{done.records:,} records in {done.seconds:.2f} s ({rate:,.0f}/s), {done.alarms:,} alarms in "
        f"{done.alerts:,} alerts ({classes}), {done.bad_rows:,} bad rows, {done.unknown_values:,} unknown "
        f"words; ended by {done.ended_by}",
        soft_wrap=True,
        highlight=False,
    )


VERB = detect
PANEL = PLANT
