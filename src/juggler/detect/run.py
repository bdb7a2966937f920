"""Run the detector over a file or a stream: records in, aggregated alerts out, every line accounted for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np

from juggler.alerts.aggregation import Aggregator, Alarm
from juggler.alerts.sink import Sink, SinkError
from juggler.data import BadRow, Records, Schema, parse_block, parse_line
from juggler.data.rows import first_width
from juggler.detect.detector import Detector
from juggler.detect.occlusion import OcclusionAttribution
from juggler.detect.options import BadRecord, DetectOptions, Summary
from juggler.detect.reader import Block, LineReader, Stream, opened
from juggler.errors import DataError, JugglerError
from juggler.nouns import Alert, Progress, ReportProgress
from juggler.runtime import Artefact, Session
from juggler.stopping import StopRequest

_PROGRESS_S = 0.1
_IDLE_S = (0.05, 1.0)


class RunError(JugglerError):
    """The input or the sink failed in the middle of a run; what was done until then is in `summary`."""

    def __init__(self, error: JugglerError, summary: Summary) -> None:
        super().__init__(error.asked, error.found, error.remedy)
        self.summary = summary
        self.exit_code = error.exit_code  # type: ignore[misc]  # the failure's own code, not this class's


def detect(
    artefact: Artefact,
    stream: Stream,
    sink: Sink,
    *,
    options: DetectOptions | None = None,
    session: Session | None = None,
    stop: StopRequest | None = None,
    on_progress: ReportProgress | None = None,
    on_bad_row: Callable[[BadRow], None] | None = None,
) -> Summary:
    """Score every record of the stream and hand its alerts to the sink as they arise.

    A bad row is counted, reported and passed over. Attack names in the input are not looked at. Rows
    have one width throughout, that of the first row with a right number of columns. Ctrl-C and SIGTERM
    end the run after the records it has, and so does the reader of the alerts when he hangs up: open
    alerts are closed and the summary says so.

    Args:
        artefact: the detector.
        stream: a path, a file descriptor, or an open file.
        sink: takes each alert when it opens and when it ends.
        options: thresholds and windows.
        session: runs the network; the artefact's own where it is left out.
        stop: its `request()` ends the run, for a caller outside the main thread.
        on_progress: told the bytes read, and in detail the records, at most ten times a second.
        on_bad_row: told of every line that is no record.

    Raises:
        DataError: the input cannot be opened.
        RunError: reading or writing failed on the way.
    """
    options = options or DetectOptions()
    detector = Detector(artefact, session, threshold=options.threshold, batch_records=options.batch_records)
    with opened(stream) as descriptor, stop or StopRequest() as request:
        run = _Run(detector, sink, options, on_bad_row)
        # An alert must be able to end in silence, so the wait for input is no longer than its window.
        reader = LineReader(descriptor, request, idle_s=min(max(options.window_s, _IDLE_S[0]), _IDLE_S[1]))
        try:
            progress = _Progress(on_progress, reader.total_bytes())
            for piece in reader:
                run.take(piece)
                progress.report(run)
            if request.requested:
                run.ended_by = "a request to stop"
            run.close()
        except BrokenPipeError:
            run.ended_by = "the reader of the alerts hung up"
        except (SinkError, DataError) as error:
            run.ended_by = f"an error: {error.found}"
            raise RunError(error, run.summary()) from error
        progress.report(run, last=True)
        return run.summary()


class _Run:
    """The counters of one run, and the way of a record through it."""

    ended_by = "end of input"

    def __init__(
        self,
        detector: Detector,
        sink: Sink,
        options: DetectOptions,
        on_bad_row: Callable[[BadRow], None] | None,
    ) -> None:
        self._detector, self._sink, self._options, self._on_bad_row = detector, sink, options, on_bad_row
        self._schema: Schema = detector.schema
        self._weigher = OcclusionAttribution(detector, options.weighed_features)
        self._aggregator = Aggregator(
            detector.threshold,
            window_records=options.window_records,
            window_s=options.window_s,
            max_open=options.max_open_alerts,
        )
        self._width: int | None = None
        self._by_class: Counter[str] = Counter()
        self._first_bad: list[BadRecord] = []
        self.records = self.bad_rows = self.unknown_values = self.read_bytes = self.unwritten = 0
        self._began_s = time.monotonic()

    def take(self, piece: Block | BadRow) -> None:
        """Take what the reader yields: lines, a line that is none, or the passing of time."""
        if isinstance(piece, BadRow):
            self._note_bad(piece)
            return
        self.read_bytes = piece.read_bytes
        if self._width is None and piece.lines:
            self._width = first_width(piece.data, self._schema)
        if piece.lines == 1:
            # The vectorised path costs more than a line of its own takes.
            record = parse_line(piece.data, self._schema, piece.first_line, self._width)
            if isinstance(record, BadRow):
                self._note_bad(record)
            else:
                self._score(record)
        elif piece.lines:
            records, bad = parse_block(piece.data, self._schema, piece.first_line, self._width)
            for row in bad:
                self._note_bad(row)
            self._score(records)
        self._write(self._aggregator.sweep(piece.first_line + piece.lines, time.monotonic()))

    def close(self) -> None:
        """Close what is open."""
        self._write(self._aggregator.close())

    def summary(self) -> Summary:
        """Return the counts so far."""
        return Summary(
            records=self.records,
            alarms=self._by_class.total(),
            alerts=self._aggregator.alerts,
            bad_rows=self.bad_rows,
            unknown_values=self.unknown_values,
            seconds=time.monotonic() - self._began_s,
            threshold=self._detector.threshold,
            by_class=dict(self._by_class),
            first_bad_rows=tuple(self._first_bad),
            evicted=self._aggregator.evicted,
            unwritten=self.unwritten + len(self._aggregator),
            read_bytes=self.read_bytes,
            interrupted=self.ended_by != _Run.ended_by,
            ended_by=self.ended_by,
        )

    def _score(self, records: Records) -> None:
        probabilities = self._detector.probabilities(records)
        scored = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
        if len(scored) < len(records):
            # Not a number is below every threshold: such a record must not pass for a normal one.
            for line in np.delete(records.lines, scored).tolist():
                self._note_bad(BadRow(line, "the network gives no number for these values", ""))
            records, probabilities = records.take(scored), probabilities[scored]
        if not len(records):
            return
        self.records += len(records)
        self.unknown_values += int(np.count_nonzero(records.codes < 0))
        verdicts = self._detector.decide(probabilities)
        at = np.flatnonzero(verdicts.is_alarm)
        if not at.size:
            return
        now_s = time.monotonic()
        alarmed = records.take(at)
        names = [self._detector.classes[i] for i in verdicts.classes[at].tolist()]
        self._by_class.update(names)
        protocols, services = self._words(alarmed, "protocol_type"), self._words(alarmed, "service")
        columns = (alarmed.lines.tolist(), names, verdicts.scores[at].tolist(), protocols, services)
        for i, fields in enumerate(zip(*columns, strict=True)):
            weigh = partial(self._weigher.weigh, alarmed, i)
            self._write(self._aggregator.add(Alarm(*fields), now_s, weigh))

    def _words(self, records: Records, column: str) -> list[str]:
        if column not in self._schema.categorical:
            return [""] * len(records)
        return [str(word) for word in records.words(column)]

    def _write(self, alerts: list[Alert]) -> None:
        for i, alert in enumerate(alerts):
            try:
                self._sink.write(alert)
            except (SinkError, BrokenPipeError):
                self.unwritten += len(alerts) - i
                raise

    def _note_bad(self, row: BadRow) -> None:
        self.bad_rows += 1
        if len(self._first_bad) < self._options.bad_rows_kept:
            self._first_bad.append(BadRecord(row.line, row.reason, row.text))
        if self._on_bad_row is not None:
            self._on_bad_row(row)


class _Progress:
    """Pass progress on, at most ten times a second."""

    def __init__(self, callback: ReportProgress | None, total_bytes: int | None) -> None:
        self._callback, self._total_bytes, self._next_s = callback, total_bytes, 0.0

    def report(self, run: _Run, last: bool = False) -> None:
        if self._callback is not None and (last or time.monotonic() >= self._next_s):
            self._next_s = time.monotonic() + _PROGRESS_S
            detail = {"records": run.records}
            self._callback(Progress("detect", run.read_bytes, self._total_bytes, "bytes", detail))
