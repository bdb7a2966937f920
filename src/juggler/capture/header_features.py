"""The 28 header features of NSL-KDD from flows, as they end: one definition for captures and live traffic.

What each is (`*` marks what differs from the data of 1998; sources: Stolfo et al. 2000, Lee and Stolfo 2000,
and the data itself, whose rates are whole numbers over the counts given here):

- duration: whole seconds from the first packet to the last.
- protocol_type: tcp, udp, icmp. * ICMPv6 counts as icmp.
- service: by the answering side's port, or the ICMP type (`services`). * Ports of today are `other`.
- flag: how the connection went, Zeek's words (`connection`); UDP and ICMP are always SF.
- src_bytes, dst_bytes: payload of TCP and UDP; of ICMP, its header as well. * An answered ping is one
  connection here, and its answer counts nothing, as in the data, where each way is a connection of its own.
- land: 1 where both ends have one address and one port.
- wrong_fragment: fragments that overlap what came before them.
- urgent: packets with the URG flag.
- count, srv_count: connections to the same host, and to the same service, among those that ended in the last
  2 seconds, this one included; at most 511.
- serror_rate, srv_serror_rate: of those, the share that is S0, S1, S2, S3 or SH.
- rerror_rate, srv_rerror_rate: of those, the share that is REJ, RSTO, RSTOS0 or RSTR.
- same_srv_rate, diff_srv_rate: of `count`, the share to the same service, and to others.
- srv_diff_host_rate: of `srv_count`, the share to other hosts.
- dst_host_count, dst_host_srv_count: connections to the same host, and to the same service, among the last
  255, this one included. (The papers say 100; the data counts to 255.)
- dst_host_same_srv_rate, dst_host_diff_srv_rate: of `dst_host_count`, to the same service, and to others.
- dst_host_same_src_port_rate: of `dst_host_count`, from the same source port.
- dst_host_srv_diff_host_rate: of `dst_host_srv_count`, the share to other hosts.
- dst_host_serror_rate, dst_host_rerror_rate: of `dst_host_count`, errors as above.
- dst_host_srv_serror_rate, dst_host_srv_rerror_rate: of `dst_host_srv_count`, errors as above.

All rates have two decimals, of ratios in float32, as the data's have: 13 of 40 are 0.32 in it. Memory is that
of 511 + 255 connections, whatever comes.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from juggler.capture.connection import STATES, connection_states
from juggler.capture.flows import Flows
from juggler.capture.packets import ICMP, ICMP6, TCP, UDP
from juggler.capture.services import services
from juggler.data.records import Records, Schema
from juggler.data.schemas.nsl_kdd import SCHEMA

RECENT_US, MOST_RECENT, MOST_LAST = 2_000_000, 511, 255
_SERROR, _RERROR = {"S0", "S1", "S2", "S3", "SH"}, {"REJ", "RSTO", "RSTOS0", "RSTR"}
_KNOWN = frozenset(SCHEMA.column["flag"].vocabulary)


class _Connection(NamedTuple):
    ended_us: int
    host: bytes
    service: str
    source_port: int
    serror: bool
    rerror: bool


class _Window:
    """The last connections, and how many of them share a host, a service, an error."""

    def __init__(self, most: int) -> None:
        self._most, self._last = most, deque[_Connection]()
        self._counts = Counter[tuple[object, ...]]()

    def add(self, connection: _Connection) -> None:
        """Take in a connection; the oldest goes where there are too many."""
        if len(self._last) == self._most:
            self._change(self._last.popleft(), -1)
        self._last.append(connection)
        self._change(connection, 1)

    def forget_before(self, time_us: int) -> None:
        """Let go of those that ended before a time."""
        while self._last and self._last[0].ended_us < time_us:
            self._change(self._last.popleft(), -1)

    def _change(self, c: _Connection, by: int) -> None:
        for key in _keys(c):
            total = self._counts[key] + by
            if total:
                self._counts[key] = total
            else:
                del self._counts[key]

    def of(self, c: _Connection) -> tuple[int, ...]:
        """Return counts for a connection that is in it.

        Host, service, host and service, host and source port, then errors: S of host, R of host, S of
        service, R of service.
        """
        counts = self._counts
        return (
            counts["h", c.host],
            counts["s", c.service],
            counts["hs", c.host, c.service],
            counts["hp", c.host, c.source_port],
            counts["hS", c.host],
            counts["hR", c.host],
            counts["sS", c.service],
            counts["sR", c.service],
        )


def _keys(c: _Connection) -> list[tuple[object, ...]]:
    keys: list[tuple[object, ...]] = [
        ("h", c.host),
        ("s", c.service),
        ("hs", c.host, c.service),
        ("hp", c.host, c.source_port),
    ]
    if c.serror:
        keys += [("hS", c.host), ("sS", c.service)]
    if c.rerror:
        keys += [("hR", c.host), ("sR", c.service)]
    return keys


class HeaderFeatures:
    """Turn flows into records of NSL-KDD's schema, in the order in which they end."""

    schema: Schema = SCHEMA

    def __init__(self) -> None:
        self._recent, self._last = _Window(MOST_RECENT), _Window(MOST_LAST)
        self._next = 1

    def records(self, flows: Flows) -> Records:
        """Return one record a flow; the 13 features of contents are 0, for headers do not have them.

        Flows of protocols that the schema lacks must have been taken out (`services.in_schema`).
        """
        names, flags = services(flows), self._flags(flows)
        basic, traffic = self._basic(flows), self._traffic(flows, names, flags)
        columns = {**basic, **dict(zip(_TRAFFIC, traffic.T, strict=True))}
        numbers = np.zeros((len(SCHEMA.numeric), len(flows)))
        for place, name in enumerate(SCHEMA.numeric):
            if name in columns:
                numbers[place] = columns[name]
        words = {"protocol_type": _protocols(flows), "service": names, "flag": flags}
        codes = np.array(
            [[SCHEMA.code_of[name][word] for word in words[name]] for name in SCHEMA.categorical], np.int16
        ).reshape(len(SCHEMA.categorical), len(flows))
        lines = np.arange(self._next, self._next + len(flows))
        self._next += len(flows)
        return Records(schema=SCHEMA, numbers=numbers, codes=codes, attacks=None, lines=lines)

    @staticmethod
    def _flags(flows: Flows) -> list[str]:
        states = [STATES[code] for code in connection_states(flows).tolist()]
        is_tcp = (flows.protocol == TCP).tolist()
        return [
            (state if state in _KNOWN else "OTH") if tcp else "SF"
            for state, tcp in zip(states, is_tcp, strict=True)
        ]

    @staticmethod
    def _basic(flows: Flows) -> dict[str, NDArray[Any]]:
        state = flows.state
        is_icmp = np.isin(flows.protocol, (ICMP, ICMP6))
        counted = np.where(is_icmp[:, None], state["transport_bytes"], state["payload_bytes"])
        same_ends = (flows.sources == flows.destinations).all(axis=1)
        return {
            "duration": (state["last_us"] - state["start_us"]) // 1_000_000,
            "src_bytes": counted[:, 0],
            "dst_bytes": np.where(is_icmp, 0, counted[:, 1]),
            "land": (same_ends & (flows.source_port == flows.destination_port) & ~is_icmp).astype(int),
            "wrong_fragment": state["wrong_fragments"],
            "urgent": state["flag_counts"][:, :, 5].sum(axis=1),
        }

    def _traffic(self, flows: Flows, names: list[str], flags: list[str]) -> NDArray[np.float64]:
        """Return the 19 features of the connections before each, `[n, 19]`."""
        rows = np.empty((len(flows), 16), np.int64)
        columns = zip(
            flows.ended_us.tolist(), flows.destinations, names, flows.source_port.tolist(), flags, strict=True
        )
        for row, (ended_us, host, name, port, flag) in enumerate(columns):
            connection = _Connection(ended_us, host.tobytes(), name, port, flag in _SERROR, flag in _RERROR)
            self._recent.forget_before(ended_us - RECENT_US)
            self._recent.add(connection)
            self._last.add(connection)
            rows[row] = (*self._recent.of(connection), *self._last.of(connection))
        return _rates(rows)


def _rates(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Turn the counts of both windows, `[n, 16]`, into the features, in the order of `_TRAFFIC`."""
    host, service, both, _, host_s, host_r, service_s, service_r = counts[:, :8].T
    last_host, last_service, last_both, last_port, last_s, last_r, last_ss, last_sr = counts[:, 8:].T

    def share(part: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.float64]:
        ratio = part.astype(np.float32) / total.astype(np.float32)
        return np.rint(ratio.astype(np.float64) * 100) / 100

    return np.stack(
        [
            host,
            service,
            share(host_s, host),
            share(service_s, service),
            share(host_r, host),
            share(service_r, service),
            share(both, host),
            share(host - both, host),
            share(service - both, service),
            last_host,
            last_service,
            share(last_both, last_host),
            share(last_host - last_both, last_host),
            share(last_port, last_host),
            share(last_service - last_both, last_service),
            share(last_s, last_host),
            share(last_ss, last_service),
            share(last_r, last_host),
            share(last_sr, last_service),
        ],
        axis=1,
    )


_TRAFFIC = (
    *("count", "srv_count", "serror_rate", "srv_serror_rate", "rerror_rate", "srv_rerror_rate"),
    *("same_srv_rate", "diff_srv_rate", "srv_diff_host_rate", "dst_host_count", "dst_host_srv_count"),
    *("dst_host_same_srv_rate", "dst_host_diff_srv_rate", "dst_host_same_src_port_rate"),
    *("dst_host_srv_diff_host_rate", "dst_host_serror_rate", "dst_host_srv_serror_rate"),
    *("dst_host_rerror_rate", "dst_host_srv_rerror_rate"),
)


def _protocols(flows: Flows) -> list[str]:
    names = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmp"}
    return [names[protocol] for protocol in flows.protocol.tolist()]
