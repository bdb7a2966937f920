"""Flows as a table: one row each, columns named as NFStream names them, where it has the same.

`src2dst_*` is what the side sent that opened the flow, `dst2src_*` what came back, `bidirectional_*` both.
Sizes are bytes from the IP header on, times milliseconds; `conn_state` is Zeek's, `community_id` that of
Corelight's specification, version 1.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import struct
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from juggler.capture.connection import STATES, connection_states
from juggler.capture.flow_cuts import ENDED_BY
from juggler.capture.flows import Flows
from juggler.capture.packets import ICMP, ICMP6, SCTP, TCP, UDP
from juggler.capture.runs import NEVER, mean_and_deviation

_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
_SIDES = ("src2dst", "dst2src")
_MAPPED = bytes(10) + b"\xff\xff"


def addresses(words: NDArray[np.uint32]) -> list[str]:
    """Return addresses as text: `[n, 4]` words to `192.0.2.1` or `2001:db8::1`."""
    known: dict[bytes, str] = {}
    texts = []
    for octets in map(bytes, words.astype(">u4").view("S16")[:, 0].tolist() if len(words) else []):
        octets = octets.ljust(16, b"\0")  # noqa: PLW2901  # numpy takes zeros at the end of text away
        if octets not in known:
            v4 = octets.startswith(_MAPPED)
            known[octets] = str(ipaddress.IPv4Address(octets[12:]) if v4 else ipaddress.IPv6Address(octets))
        texts.append(known[octets])
    return texts


def community_ids(flows: Flows) -> list[str]:
    """Return the Community ID of each flow, by which tools find each other's records of it.

    Source: the Community ID specification, version 1, seed 0: protocol, addresses and ports, the smaller end
    first, SHA-1, base64. ICMP has the type where others have ports; other protocols have none.
    """
    ends = (flows.sources.astype(">u4"), flows.destinations.astype(">u4"))
    ports = zip(flows.source_port.tolist(), flows.destination_port.tolist(), strict=True)
    others = (flows.protocol.tolist(), flows.state["icmp_code"].tolist())
    return [
        _community_id((source.tobytes(), destination.tobytes()), both, protocol, code)
        for source, destination, both, protocol, code in zip(*ends, ports, *others, strict=True)
    ]


_ICMP_PAIRS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ICMP6_PAIRS = {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130}


def _community_id(ends: tuple[bytes, bytes], ports: tuple[int, int], protocol: int, code: int) -> str:
    if all(end.startswith(_MAPPED) for end in ends):
        ends = (ends[0][12:], ends[1][12:])
    one_way = False
    if protocol in {ICMP, ICMP6}:
        pairs = _ICMP_PAIRS if protocol == ICMP else _ICMP6_PAIRS
        one_way = ports[0] not in pairs
        ports = (ports[0], pairs.get(ports[0], code))
    if not one_way and (ends[1], ports[1]) < (ends[0], ports[0]):
        ends, ports = ends[::-1], ports[::-1]
    text = struct.pack("!H", 0) + ends[0] + ends[1] + struct.pack("!BB", protocol, 0)
    if protocol in {TCP, UDP, SCTP, ICMP, ICMP6}:
        text += struct.pack("!HH", *ports)
    return "1:" + base64.b64encode(hashlib.sha1(text, usedforsecurity=False).digest()).decode()


def flow_columns(flows: Flows) -> pa.Table:
    """Return the flows as a table, one row each, in the order in which they ended."""
    state = flows.state
    last_ms = state["start_ns"] // 1_000_000 + (state["last_us"] - state["start_us"]) // 1000
    icmp = np.isin(flows.protocol, (ICMP, ICMP6))
    columns: dict[str, Any] = {
        "src_ip": addresses(flows.sources),
        "src_port": np.where(icmp, 0, flows.source_port).astype(np.uint16),
        "dst_ip": addresses(flows.destinations),
        "dst_port": np.where(icmp, 0, flows.destination_port).astype(np.uint16),
        "protocol": flows.protocol.astype(np.uint8),
        "vlan_id": flows.vlan.astype(np.uint16),
        "community_id": community_ids(flows),
        "bidirectional_first_seen_ms": state["start_ns"] // 1_000_000,
        "bidirectional_last_seen_ms": last_ms,
        "bidirectional_duration_ms": (state["last_us"] - state["start_us"]) // 1000,
        "conn_state": [STATES[code] for code in connection_states(flows).tolist()],
        "ended_by": [ENDED_BY[code] for code in flows.ended_by.tolist()],
        "first_packet": state["first_number"],
        "last_packet": state["last_number"],
        "icmp_type": np.where(icmp, state["icmp_type"], -1),
        "icmp_code": np.where(icmp, state["icmp_code"], -1),
        "wrong_fragments": state["wrong_fragments"],
    }
    columns |= _sums(state, "bidirectional", None)
    for side, name in enumerate(_SIDES):
        columns |= _sums(state, name, side)
    return pa.table({k: pa.array(v, pa.string()) if isinstance(v, list) else v for k, v in columns.items()})


def _sums(state: dict[str, NDArray[Any]], prefix: str, side: int | None) -> dict[str, Any]:
    """Return packets, bytes, their spread, the spread of gaps, and flags, of one side or of both."""

    def of(name: str) -> NDArray[Any]:
        return state[name].sum(axis=1) if side is None else state[name][:, side]

    sizes = {key: of(f"size_{key}") for key in ("count", "total", "squares_low", "squares_high")}
    least, most = state["size_least"], state["size_most"]
    least, most = (least.min(1), most.max(1)) if side is None else (least[:, side], most[:, side])
    gap = "gap" if side is None else "side_gap"
    at = ... if side is None else (slice(None), side)
    gaps = {key: state[f"{gap}_{key}"][at] for key in ("count", "total", "squares_low", "squares_high")}
    gap_least, gap_most = state[f"{gap}_least"][at], state[f"{gap}_most"][at]
    columns: dict[str, Any] = {
        f"{prefix}_packets": sizes["count"].astype(np.int64),
        f"{prefix}_bytes": sizes["total"],
        f"{prefix}_payload_bytes": of("payload_bytes"),
    }
    columns |= _spread(f"{prefix}_{{}}_ps", sizes, least, most, 1)
    columns |= _spread(f"{prefix}_{{}}_piat_ms", gaps, gap_least, gap_most, 1000)
    flags = state["flag_counts"]
    counts = flags.sum(axis=1) if side is None else flags[:, side]
    return columns | {f"{prefix}_{flag}_packets": counts[:, bit] for bit, flag in enumerate(_FLAGS)}


def _spread(
    name: str, sums: dict[str, NDArray[Any]], least: NDArray[Any], most: NDArray[Any], unit: int
) -> dict[str, NDArray[Any]]:
    mean, deviation = mean_and_deviation(**sums)
    return {
        name.format("min"): np.where(least == NEVER, 0, least) / unit,
        name.format("mean"): mean / unit,
        name.format("stddev"): deviation / unit,
        name.format("max"): np.maximum(most, 0) / unit,
    }
