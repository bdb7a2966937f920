"""What a run of the detector can be told, and what it tells at its end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Self

from juggler.checks import Range, check_ranges
from juggler.nouns import Noun

_RANGES = {
    "threshold": Range(0, 1, "a score from 0 to 1"),
    "window_records": Range(1, math.inf, "1 or more"),
    "window_s": Range(math.ulp(0.0), math.inf, "a number of seconds above 0"),  # inf: never by time
    "max_open_alerts": Range(1, math.inf, "1 or more"),
    "batch_records": Range(1, math.inf, "1 or more"),
    "weighed_features": Range(0, math.inf, "0 or more"),
    "bad_rows_kept": Range(0, math.inf, "0 or more"),
}


@dataclass(frozen=True)
class DetectOptions(Noun):
    """Options of one run.

    Attributes:
        threshold: score from which on a record is an alarm; `None` takes the artefact's own.
        window_records: an alert ends when so many records pass without an alarm of its kind.
        window_s: an alert ends when so many seconds pass without an alarm of its kind.
        max_open_alerts: alerts open at one time; one more closes the one that was quiet longest.
        batch_records: most records that are encoded and run at once; bounds the memory.
        weighed_features: how many of the features that weighed most an alert names; 0 for none.
        bad_rows_kept: how many bad rows the summary holds by line and reason; all are counted.
    """

    threshold: float | None = None
    window_records: int = 1000
    window_s: float = 60.0
    max_open_alerts: int = 1024
    batch_records: int = 512
    weighed_features: int = 5
    bad_rows_kept: int = 20

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            ConfigError: a value is out of its range.
        """
        check_ranges(self, _RANGES, "detect attacks")


@dataclass(frozen=True)
class BadRecord(Noun):
    """A line that was no record: its number from 1, why, and the beginning of its text."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True)
class Summary(Noun):
    """What one run saw and did; every line that it read is a record, a bad row, blank, or a header.

    Attributes:
        records: records that were scored.
        alarms: records whose score reached the threshold.
        alerts: aggregated alerts that were opened.
        bad_rows: lines that were no record.
        unknown_values: names (of services, flags, protocols) that the schema does not know.
        seconds: from the first read to the last alert.
        threshold: score from which on a record was an alarm.
        by_class: alarms by attack class.
        first_bad_rows: the first of the bad rows.
        evicted: alerts closed early because too many were open.
        unwritten: alert lines that the sink did not take: these alerts are missing in what it wrote.
        read_bytes: bytes read.
        interrupted: the run was ended from outside before its input did; `ended_by` says how.
        ended_by: what ended the run.
        blank_lines: lines without content.
        header_lines: lines that named the columns.
        unknown_words: the commonest of the unknown names, as `column=name`, and how often each came.
        packets: of a capture: received, processed, and those passed over by reason.
        packet_notes: of a capture: what was seen and cost no packet, such as a clock that went back.
        doubts: why the records may not be such as the detector was trained on; none where they may be.
    """

    records: int
    alarms: int
    alerts: int
    bad_rows: int
    unknown_values: int
    seconds: float
    threshold: float | None
    by_class: dict[str, int] = field(default_factory=dict)
    first_bad_rows: tuple[BadRecord, ...] = ()
    evicted: int = 0
    unwritten: int = 0
    read_bytes: int = 0
    interrupted: bool = False
    ended_by: str = "end of input"
    blank_lines: int = 0
    header_lines: int = 0
    unknown_words: dict[str, int] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    packets: dict[str, int] = field(default_factory=dict)
    packet_notes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of_nothing(cls, ended_by: str) -> Self:
        """Return the summary of a run that ended before it began."""
        return cls(0, 0, 0, 0, 0, 0.0, None, interrupted=True, ended_by=ended_by)

    @property
    def records_per_s(self) -> float:
        """Return records a second from the first read to the end; 0 for an empty run."""
        return self.records / self.seconds if self.seconds > 0 and math.isfinite(self.seconds) else 0.0
