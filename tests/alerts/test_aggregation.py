from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from juggler.alerts.aggregation import SEVERAL, Aggregator, Alarm
from juggler.nouns import Alert


def aggregator(**options: object) -> Aggregator:
    settings: dict[str, object] = {"window_records": 10, "stamp": lambda: "2024-01-02T03:04:05.000006+00:00"}
    return Aggregator(0.5, **(settings | options))  # type: ignore[arg-type]


def feed(into: Aggregator, alarms: list[Alarm], now_s: float = 0.0) -> list[Alert]:
    return [alert for alarm in alarms for alert in into.add(alarm, now_s)]


def test_a_scan_through_many_services_is_one_alert() -> None:
    into = aggregator()
    scan = [Alarm(n, "probe", 0.9 + n / 1000, "tcp", f"service{n}") for n in range(1, 51)]
    (opened,) = feed(into, scan)
    assert (opened.state, opened.count, opened.first_record, opened.service) == ("opened", 1, 1, "service1")
    (closed,) = into.close()
    assert (closed.state, closed.count, closed.last_record, closed.service) == ("closed", 50, 50, SEVERAL)
    assert closed.identity == opened.identity == 1
    assert closed.score == scan[-1].score
    assert closed.threshold == 0.5


def test_intrusions_into_two_services_are_two_alerts() -> None:
    into = aggregator()
    alarms = [Alarm(n, "r2l", 0.9, "tcp", ("ftp", "telnet")[n % 2]) for n in range(1, 9)]
    assert [a.state for a in feed(into, alarms)] == ["opened", "opened"]
    assert {(a.service, a.count) for a in into.close()} == {("ftp", 4), ("telnet", 4)}


def test_the_window_of_records_ends_an_alert() -> None:
    into = aggregator(window_records=10)
    alerts = feed(
        into, [Alarm(1, "dos", 0.9, "tcp"), Alarm(11, "dos", 0.9, "tcp"), Alarm(22, "dos", 0.9, "tcp")]
    )
    states = [(a.identity, a.state, a.count, a.last_record) for a in alerts]
    assert states == [(1, "opened", 1, 1), (1, "closed", 2, 11), (2, "opened", 1, 22)]


def test_the_window_of_seconds_ends_an_alert_without_another_record() -> None:
    into = aggregator(window_s=5.0)
    into.add(Alarm(1, "dos", 0.9), 100.0)
    assert into.sweep(2, 105.0) == []
    (closed,) = into.sweep(2, 105.1)
    assert closed.state == "closed"
    assert len(into) == 0


def test_one_alert_too_many_closes_the_one_that_was_quiet_longest() -> None:
    into = aggregator(max_open=2)
    feed(into, [Alarm(1, "dos", 0.9, "tcp"), Alarm(2, "dos", 0.9, "udp"), Alarm(3, "dos", 0.9, "tcp")])
    closed, opened = into.add(Alarm(4, "dos", 0.9, "icmp"), 0.0)
    assert (closed.protocol, closed.state, opened.protocol) == ("udp", "closed", "icmp")
    assert (len(into), into.evicted, into.alerts) == (2, 1, 3)


def test_what_weighed_is_worked_out_once_an_alert() -> None:
    calls = []

    def weigh() -> dict[str, float]:
        calls.append(1)
        return {"serror_rate": 0.4}

    into = aggregator()
    (opened,) = into.add(Alarm(1, "dos", 0.9), 0.0, weigh)
    into.add(Alarm(2, "dos", 0.9), 0.0, weigh)
    (closed,) = into.close()
    assert opened.weighed == closed.weighed == {"serror_rate": 0.4}
    assert len(calls) == 1


ALARMS = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.sampled_from(["dos", "probe", "r2l", "u2r"]),
        st.sampled_from(["tcp", "udp"]),
        st.sampled_from(["http", "ftp", "private"]),
        st.floats(0.5, 1.0),
    ),
    max_size=60,
)


@given(ALARMS, st.integers(1, 4))
def test_every_alarm_is_in_one_alert_and_every_alert_is_opened_and_closed(
    steps: list[tuple[int, str, str, str, float]], max_open: int
) -> None:
    record, alarms = 0, []
    for gap, attack_class, protocol, service, score in steps:
        record += gap
        alarms.append(Alarm(record, attack_class, score, protocol, service))
    into = aggregator(window_records=6, window_s=math.inf, max_open=max_open)
    alerts = []
    for alarm in alarms:
        alerts += into.add(alarm, 0.0)
        assert len(into) <= max_open
    alerts += into.close()
    states = Counter((a.identity, a.state) for a in alerts)
    assert set(states.values()) <= {1}
    assert {i for i, s in states if s == "opened"} == {i for i, s in states if s == "closed"}
    closed = [a for a in alerts if a.state == "closed"]
    assert sum(a.count for a in closed) == len(alarms)
    assert into.alerts == len(closed)
    per_class = Counter(a.attack_class for a in alarms)
    assert {c: sum(a.count for a in closed if a.attack_class == c) for c in per_class} == dict(per_class)


def test_with_addresses_a_scan_is_its_sources_and_a_flood_its_targets() -> None:
    ends = [
        {"src_ip": f"192.0.2.{n % 2}", "dst_ip": f"198.51.100.{n % 3}", "dst_port": f"{n}"}
        for n in range(1, 7)
    ]
    for attack_class, alerts, same, differs in (
        ("probe", 2, "src_ip", "dst_ip"),
        ("dos", 3, "dst_ip", "src_ip"),
    ):
        into = aggregator()
        feed(into, [Alarm(n, attack_class, 0.9, "tcp", "", end) for n, end in enumerate(ends, start=1)])
        closed = into.close()
        assert len(closed) == into.alerts == alerts
        for alert in closed:
            assert alert.context[same] in {end[same] for end in ends}
            assert alert.context[differs] == alert.context["dst_port"] == "several"


def test_the_time_of_an_alert_is_that_of_its_first_record() -> None:
    into = aggregator()
    feed(into, [Alarm(n, "dos", 0.9, "tcp", "", {"time": f"10:0{n}", "src_ip": ""}) for n in range(1, 4)])
    assert into.close()[0].context == {"time": "10:01"}
