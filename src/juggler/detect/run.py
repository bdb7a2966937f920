"""Run the detector over a file or a stream: records in, aggregated alerts out, every line accounted for."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np

from juggler.alerts.aggregation import Aggregator, Alarm
from juggler.alerts.sink import Sink, SinkError
from juggler.data import BadRow, Records, Schema
from juggler.data.kinds import refuse_other_kinds
from juggler.data.rows import RowParser
from juggler.detect.detector import Detector
from juggler.detect.occlusion import OcclusionAttribution
from juggler.detect.options import BadRecord, DetectOptions, Summary
from juggler.detect.plausibility import Plausibility
from juggler.detect.reader import Block, LineReader, Stream, opened
from juggler.display import printable
from juggler.errors import DataError, JugglerError
from juggler.nouns import Alert, Progress, ReportProgress
from juggler.runtime import Artefact, Session
from juggler.stopping import StopRequest

_PROGRESS_S = 0.1
_IDLE_S = (0.05, 1.0)
_FIRST_DOUBT = 1000.0  # records after which doubts are told; then after ten times as many
_WORD, _UNKNOWN_WORDS = 64, 10  # characters and number of the words of an input that are shown


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
    on_doubt: Callable[[tuple[str, ...]], None] | None = None,
    on_summary: Callable[[Summary], None] | None = None,
) -> Summary:
    """Score every record of the stream and hand its alerts to the sink as they arise.

    A bad row is counted, reported and passed over. Attack names in the input are not looked at. Columns are
    mapped by a header line where there is one, wherever it stands. Ctrl-C and SIGTERM end the run after the
    records it has, and so does the reader of the alerts when he hangs up: open alerts are closed and the
    summary says so. SIGHUP makes a sink of a file open it anew, and ends the run where there is none.

    Args:
        artefact: the detector.
        stream: a path, a file descriptor, or an open file.
        sink: takes each alert when it opens and when it ends.
        options: thresholds and windows.
        session: runs the network; the artefact's own where it is left out.
        stop: its `request()` ends the run, for a caller outside the main thread.
        on_progress: told the bytes read, and in detail the records, at most ten times a second.
        on_bad_row: told of every line that is no record.
        on_doubt: told once, while the run goes on, why the records may not be such as the detector knows.
        on_summary: given the summary however the run ends, by an error of any kind too.

    Raises:
        DataError: the input cannot be opened.
        RunError: reading or writing failed on the way, the input begins as no records do, or none was one.
    """
    options = options or DetectOptions()
    detector = Detector(artefact, session, threshold=options.threshold, batch_records=options.batch_records)
    with opened(stream) as descriptor, stop or StopRequest() as request, _hang_up(sink, request):
        run = Run(detector, sink, options, on_bad_row, on_doubt)
        name = "standard input" if stream == 0 else str(stream)
        # An alert must be able to end in silence, so the wait for input is no longer than its window.
        reader = LineReader(
            descriptor,
            request,
            idle_s=min(max(options.window_s, _IDLE_S[0]), _IDLE_S[1]),
            look=lambda head: refuse_other_kinds(head, detector.schema, name, detector.encoder.features),
        )
        try:
            total_bytes = reader.total_bytes()
            progress = _Progress(on_progress, total_bytes)
            for piece in reader:
                run.take(piece)
                progress.report(run)
            if request.requested:
                run.ended_by = "a request to stop"
            else:
                run.refuse_nothing(name, total_bytes)
            run.close()
        except BrokenPipeError:
            run.ended_by = "the reader of the alerts hung up"
        except JugglerError as error:
            run.ended_by = f"an error: {error.found}"
            with suppress(SinkError, BrokenPipeError):
                run.close()
            raise RunError(error, run.summary()) from error
        except BaseException as error:
            run.ended_by = f"{type(error).__name__} on the way"
            raise
        finally:
            if on_summary is not None:
                on_summary(run.summary())
        progress.report(run, last=True)
        return run.summary()


@contextmanager
def _hang_up(sink: Sink, stop: StopRequest) -> Iterator[None]:
    """Let SIGHUP open the file of the alerts anew, as it does in other daemons, or end the run."""

    def take(*_: object) -> None:
        reopen = getattr(sink, "reopen", None)
        if reopen is None or not reopen():
            stop.request()

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # nohup: it stays ignored
        yield
        return
    before = signal.signal(signal.SIGHUP, take)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL if before is None else before)


class Run:
    """The counters of one run, and the way of a record through it."""

    ended_by = "end of input"

    def __init__(
        self,
        detector: Detector,
        sink: Sink,
        options: DetectOptions,
        on_bad_row: Callable[[BadRow], None] | None = None,
        on_doubt: Callable[[tuple[str, ...]], None] | None = None,
    ) -> None:
        self._detector, self._sink, self._options = detector, sink, options
        self._on_bad_row, self._on_doubt = on_bad_row, on_doubt
        self._schema: Schema = detector.schema
        self._weigher = OcclusionAttribution(detector, options.weighed_features)
        self._aggregator = Aggregator(
            detector.threshold,
            window_records=options.window_records,
            window_s=options.window_s,
            max_open=options.max_open_alerts,
        )
        self._parser = RowParser(detector.schema, needed=detector.encoder.features, with_labels=False)
        self._plausibility, self._doubts_at = Plausibility(detector.encoder), _FIRST_DOUBT
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
        if piece.lines == 1:
            # The vectorised path costs more than a line of its own takes.
            record = self._parser.parse_line(piece.data, piece.first_line)
            if isinstance(record, BadRow):
                self._note_bad(record)
            elif record is not None:
                self._score(record)
        elif piece.lines:
            records, bad = self._parser.parse(piece.data, piece.first_line)
            for row in bad:
                self._note_bad(row)
            self._score(records)
        self._write(self._aggregator.sweep(piece.first_line + piece.lines, time.monotonic()))
        if self._on_doubt is not None and self.records >= self._doubts_at:
            self._doubts_at *= 10
            if doubts := self._doubts():
                self._doubts_at = math.inf
                self._on_doubt(doubts)

    def take_records(self, records: Records, now_s: float) -> None:
        """Take records that are none of a text, at a time of their own, in seconds."""
        self._score(records, now_s)
        self._write(self._aggregator.sweep(int(records.lines[-1]) + 1, now_s))

    def refuse_nothing(self, name: str, total_bytes: int | None) -> None:
        """Raise a DataError where what has ended held no record: a file, or a stream of bad rows only."""
        if self.records or (total_bytes is None and not self.bad_rows):
            return
        fault = "it is empty (0 bytes)" if total_bytes == 0 else "blank and header lines only"
        if self.bad_rows:
            fault = f"not one of {self.bad_rows:,} lines is a record"
            fault += f"; line {row.line}: {row.reason}" if (row := next(iter(self._first_bad), None)) else ""
        remedy = "Give the detector's columns, a record a line, see docs/how-to/detect.md"
        raise DataError(f"detect in {name}", fault, remedy)

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
            interrupted=self.ended_by != Run.ended_by,
            ended_by=self.ended_by,
            blank_lines=self._parser.blank_lines,
            header_lines=self._parser.header_lines,
            unknown_words={
                f"{column}={printable(word, _WORD)}": count
                for (column, word), count in self._parser.unknown_words.most_common(_UNKNOWN_WORDS)
            },
            doubts=self._doubts(),
        )

    def _doubts(self) -> tuple[str, ...]:
        words = {key: count for key, count in self._parser.unknown_words.most_common()}
        return self._plausibility.doubts(self._by_class.total(), self.bad_rows, words)

    def _score(self, records: Records, now_s: float | None = None) -> None:
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
        self._plausibility.take(records)
        verdicts = self._detector.decide(probabilities)
        at = np.flatnonzero(verdicts.is_alarm)
        if not at.size:
            return
        now_s = time.monotonic() if now_s is None else now_s
        alarmed = records.take(at)
        names = [self._detector.classes[i] for i in verdicts.classes[at].tolist()]
        self._by_class.update(names)
        protocols, services = self._words(alarmed, "protocol_type"), self._words(alarmed, "service")
        columns = (alarmed.lines.tolist(), names, verdicts.scores[at].tolist(), protocols, services)
        for i, fields in enumerate(zip(*columns, strict=True)):
            weigh = partial(self._weigher.weigh, alarmed, i)
            alarm = Alarm(*fields)
            if alarmed.context:
                context = {name: printable(texts[i], _WORD) for name, texts in alarmed.context.items()}
                alarm = alarm._replace(context=context)
            self._write(self._aggregator.add(alarm, now_s, weigh))

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
            self._first_bad.append(BadRecord(row.line, printable(row.reason), printable(row.text)))
        if self._on_bad_row is not None:
            self._on_bad_row(row)


class _Progress:
    """Pass progress on, at most ten times a second."""

    def __init__(self, callback: ReportProgress | None, total_bytes: int | None) -> None:
        self._callback, self._total_bytes, self._next_s = callback, total_bytes, 0.0

    def report(self, run: Run, last: bool = False) -> None:
        if self._callback is not None and (last or time.monotonic() >= self._next_s):
            self._next_s = time.monotonic() + _PROGRESS_S
            detail = {"records": run.records}
            self._callback(Progress("detect", run.read_bytes, self._total_bytes, "bytes", detail))
