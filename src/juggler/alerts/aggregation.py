"""Make alerts of alarms: one scan is one alert, raised by its first record and closed with its count."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from juggler.nouns import Alert

# A guessed password or a stolen root shell is a matter of the one service that was broken into. A scan
# walks through the services by its nature, and a flood often does too: there the service must not part
# what belongs together. So with addresses: a scan is one host's, a flood may come from many and meets one.
_KIND = {"r2l": ("src_ip", "dst_ip"), "u2r": ("src_ip", "dst_ip"), "probe": ("src_ip",), "dos": ("dst_ip",)}
_BY_SERVICE = frozenset({"r2l", "u2r"})
SEVERAL = "several"


class Alarm(NamedTuple):
    """A record whose score reached the threshold; `record` is the number of its line, from 1.

    `context` holds what the record says of its connection besides, as `Alert.context` does.
    """

    record: int
    attack_class: str
    score: float
    protocol: str = ""
    service: str = ""
    context: Mapping[str, str] = MappingProxyType({})


def kind_of(alarm: Alarm) -> tuple[str, ...]:
    """Return what alarms of one alert have in common: class and protocol, and the service of an intrusion.

    Where records carry addresses, also that of a scan's source, of a flood's target, of both in an intrusion.
    """
    service = alarm.service if alarm.attack_class in _BY_SERVICE else ""
    if not alarm.context:
        return alarm.attack_class, alarm.protocol, service
    addresses = _KIND.get(alarm.attack_class, ("src_ip", "dst_ip"))
    return (
        alarm.attack_class,
        alarm.protocol,
        service,
        *(alarm.context.get(name, "") for name in addresses),
    )


def utc_now() -> str:
    """Return the time of day as ISO 8601 with offset."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(slots=True)
class _Open:
    identity: int
    first: Alarm
    score: float
    service: str
    last_record: int
    last_s: float
    count: int = 1
    weighed: dict[str, float] = field(default_factory=dict)
    context: dict[str, str] = field(default_factory=dict)

    def add(self, alarm: Alarm, now_s: float) -> None:
        """Take one more alarm of this kind."""
        self.count += 1
        self.score = max(self.score, alarm.score)
        self.last_record, self.last_s = alarm.record, now_s
        if self.service != alarm.service:
            self.service = SEVERAL
        for name, text in self.context.items():
            if name != "time" and text != alarm.context.get(name, ""):
                self.context[name] = SEVERAL


class Aggregator:
    """Hold the open alerts, in the order of their last alarm.

    An alert ends when `window_records` records or `window_s` seconds pass without an alarm of its kind.
    By records, the result does not depend on how the stream was cut into blocks.

    Args:
        threshold: stated in every alert.
        window_records: records without an alarm after which an alert ends.
        window_s: seconds without an alarm after which an alert ends.
        max_open: one more than this closes the alert that was quiet longest.
        stamp: gives the time that an alert is stamped with.
    """

    def __init__(
        self,
        threshold: float,
        *,
        window_records: int,
        window_s: float = math.inf,
        max_open: int = 1024,
        stamp: Callable[[], str] = utc_now,
    ) -> None:
        self._threshold, self._stamp = threshold, stamp
        self._window_records, self._window_s, self._max_open = window_records, window_s, max_open
        self._open: OrderedDict[tuple[str, ...], _Open] = OrderedDict()
        self.alerts, self.evicted = 0, 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, alarm: Alarm, now_s: float, weigh: Callable[[], dict[str, float]] = dict) -> list[Alert]:
        """Take one alarm and return the alerts to write now: those that end, and the one it opens.

        Args:
            alarm: the alarm; record numbers never fall.
            now_s: a clock that never goes back.
            weigh: works out what weighed most; called only for the first record of an alert.
        """
        ended = self.sweep(alarm.record, now_s)
        kind = kind_of(alarm)
        known = self._open.get(kind)
        if known is not None:
            known.add(alarm, now_s)
            self._open.move_to_end(kind)
            return ended
        if len(self._open) >= self._max_open:
            self.evicted += 1
            ended.append(self._alert(self._open.popitem(last=False)[1], "closed"))
        self.alerts += 1
        new = _Open(self.alerts, alarm, alarm.score, alarm.service, alarm.record, now_s)
        new.weighed, new.context = weigh(), {name: text for name, text in alarm.context.items() if text}
        self._open[kind] = new
        return [*ended, self._alert(new, "opened")]

    def sweep(self, record: int, now_s: float) -> list[Alert]:
        """Close the alerts whose window has passed by the time that `record` arrives."""
        ended = []
        while self._open:
            # Ordered by last alarm: once the first is still open, all the others are.
            kind, oldest = next(iter(self._open.items()))
            quiet = record - oldest.last_record > self._window_records
            if not quiet and now_s - oldest.last_s <= self._window_s:
                break
            del self._open[kind]
            ended.append(self._alert(oldest, "closed"))
        return ended

    def close(self) -> list[Alert]:
        """Close all that is open, at the end of the input."""
        ended = [self._alert(entry, "closed") for entry in self._open.values()]
        self._open.clear()
        return ended

    def _alert(self, entry: _Open, state: str) -> Alert:
        return Alert(
            identity=entry.identity,
            timestamp=self._stamp(),
            state=state,
            attack_class=entry.first.attack_class,
            score=entry.score,
            threshold=self._threshold,
            count=entry.count,
            first_record=entry.first.record,
            last_record=entry.last_record,
            protocol=entry.first.protocol,
            service=entry.service,
            weighed=entry.weighed,
            context=dict(entry.context),
        )
