"""Alarms to alerts, and alerts to whoever must see them: aggregation and sinks, for every detector.

    with open_sink("eve", "eve.json") as sink:
        for alert in aggregator.add(alarm, now_s):
            sink.write(alert)

A sink is one file in `alerts/sinks` offering `SINK`.
"""

from juggler.alerts.aggregation import Aggregator, Alarm
from juggler.alerts.sink import SINKS, Sink, SinkError, open_sink

__all__ = ["SINKS", "Aggregator", "Alarm", "Sink", "SinkError", "open_sink"]
