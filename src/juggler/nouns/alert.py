"""What a detector says."""

from __future__ import annotations

from dataclasses import dataclass, field

from juggler.nouns.noun import Noun


@dataclass(frozen=True)
class Alert(Noun):
    """One aggregated alert: a run of alarms of one class that belong together.

    Attributes:
        identity: number of the alert within its run, from 1.
        timestamp: ISO 8601 with offset, when the alert's state was written.
        state: `opened` when the first record raised it, `closed` when it ended.
        attack_class: likeliest attack class of the first record.
        score: largest `1 - p(normal)` among its records.
        threshold: score from which on a record is an alarm.
        count: records that belong to it so far.
        first_record: number of the first record, from 1.
        last_record: number of the last record so far.
        protocol: transport protocol of its records.
        service: service name of its records.
        weighed: features that weighed most, and by how much the score falls without each.
        context: what the records say of the connections besides: `time` of the first, `src_ip`, `src_port`,
            `dst_ip`, `dst_port`; `several` where they differ.
    """

    identity: int
    timestamp: str
    state: str
    attack_class: str
    score: float
    threshold: float
    count: int
    first_record: int
    last_record: int
    protocol: str = ""
    service: str = ""
    weighed: dict[str, float] = field(default_factory=dict)
    context: dict[str, str] = field(default_factory=dict)
