"""The services of NSL-KDD by port and ICMP type: 70 names of 1998, and what is none of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from juggler.capture.flows import Flows
from juggler.capture.packets import ICMP, ICMP6, TCP, UDP

_TCP = {
    5: "rje", 7: "echo", 9: "discard", 11: "systat", 13: "daytime", 15: "netstat", 20: "ftp_data", 21: "ftp",
    22: "ssh", 23: "telnet", 25: "smtp", 37: "time", 42: "name", 43: "whois", 53: "domain", 57: "mtp",
    66: "sql_net", 70: "gopher", 71: "remote_job", 72: "remote_job", 73: "remote_job", 74: "remote_job",
    77: "rje", 79: "finger", 80: "http", 84: "ctf", 87: "link", 95: "supdup", 101: "hostnames",
    102: "iso_tsap", 105: "csnet_ns", 109: "pop_2", 110: "pop_3", 111: "sunrpc", 113: "auth",
    117: "uucp_path", 119: "nntp", 137: "netbios_ns", 138: "netbios_dgm", 139: "netbios_ssn", 143: "imap4",
    150: "sql_net", 175: "vmnet", 179: "bgp", 194: "IRC", 210: "Z39_50", 389: "ldap", 433: "nnsp",
    443: "http_443", 512: "exec", 513: "login", 514: "shell", 515: "printer", 520: "efs", 530: "courier",
    540: "uucp", 543: "klogin", 544: "kshell", 2784: "http_2784", 5190: "aol", 6667: "IRC",
    8001: "http_8001", **dict.fromkeys(range(6000, 6064), "X11"),
}  # fmt: skip
_UDP = {
    53: "domain_u", 69: "tftp_u", 123: "ntp_u", 137: "netbios_ns", 138: "netbios_dgm", 7: "echo",
    9: "discard", 13: "daytime", 37: "time", 111: "sunrpc",
}  # fmt: skip
_INDUSTRIAL = (502, 789, 802)
"""Modbus, Crimson and secure Modbus: registered below 1024, but no port of the data's own time."""
_UNREACHABLE, _REDIRECT, _EXCEEDED = 3, 5, 11


def services(flows: Flows) -> list[str]:
    """Return the service of each flow, one of NSL-KDD's names, by the port of the side that answered.

    A port without a name is `private` below 1024 and `other` above. The data bears that out: 4 of the 357
    normal TCP rows with such ports say private, while scans of low ports say nothing else. Industrial ports
    below 1024 are `other`: in the data's years nothing ordinary stood there.
    """
    columns = zip(
        flows.protocol.tolist(),
        flows.destination_port.tolist(),
        flows.state["icmp_type"].tolist(),
        flows.state["icmp_code"].tolist(),
        strict=True,
    )
    return [_service(*column) for column in columns]


def _service(protocol: int, port: int, kind: int, code: int) -> str:
    if protocol in {ICMP, ICMP6}:
        return _icmp(kind, code)
    name = (_TCP if protocol == TCP else _UDP if protocol == UDP else {}).get(port)
    return name or ("private" if port < 1024 and port not in _INDUSTRIAL else "other")


def _icmp(kind: int, code: int) -> str:
    if kind in {8, 128}:
        return "eco_i"
    if kind in {0, 129}:
        return "ecr_i"
    if kind == _UNREACHABLE:
        return "urh_i" if code == 1 else "urp_i"
    return {_REDIRECT: "red_i", _EXCEEDED: "tim_i"}.get(kind, "other")


def in_schema(flows: Flows) -> NDArray[np.bool_]:
    """Say which flows are of a protocol that NSL-KDD has: TCP, UDP, ICMP."""
    return np.isin(flows.protocol, (TCP, UDP, ICMP, ICMP6))
