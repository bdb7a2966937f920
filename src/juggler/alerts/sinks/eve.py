"""Write alerts as EVE JSON lines, the format of Suricata's `event_type: alert`.

Every line passes Suricata's published schema, which allows no fields of one's own; so what is this
project's own stands as `key=value` strings in `alert.metadata.tag`. An alert is written twice, with
`state=opened` when it is raised and with `state=closed` and its final count when it ends; `run` and
`alert` together name it. `action` is always `allowed`: the detector sees, it does not block.

Signature ids lie in the range that is left to local use (1000000-1999999) and never change their
meaning: 1000100 any class not named here, 1000101 dos, 1000102 probe, 1000103 r2l, 1000104 u2r.
Categories and severities (1 is gravest) are those of Suricata's classification.config.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import select
import stat
import sys
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from juggler.alerts.sink import Sink, SinkError, remedy_for
from juggler.nouns import Alert


class _Signature(NamedTuple):
    number: int
    text: str
    category: str
    severity: int


_OTHER = _Signature(1000100, "JUGGLER attack", "Misc Attack", 2)
_SIGNATURES = {
    "dos": _Signature(1000101, "JUGGLER denial of service", "Attempted Denial of Service", 2),
    "probe": _Signature(1000102, "JUGGLER scan", "Detection of a Network Scan", 3),
    "r2l": _Signature(1000103, "JUGGLER remote to local", "Attempted User Privilege Gain", 1),
    "u2r": _Signature(1000104, "JUGGLER user to root", "Attempted Administrator Privilege Gain", 1),
}
# Only services whose name means one protocol that Suricata knows by this name too.
_APP_PROTO = {
    "domain": "dns",
    "domain_u": "dns",
    "ftp": "ftp",
    "ftp_data": "ftp-data",
    "http": "http",
    "imap4": "imap",
    "pop_3": "pop3",
    "smtp": "smtp",
    "ssh": "ssh",
    "telnet": "telnet",
    "tftp_u": "tftp",
}
_NEW_FILE_MODE = 0o640  # as Suricata's own logs: alerts are not everybody's business


def eve_record(alert: Alert, run: str = "") -> dict[str, Any]:
    """Return the alert as an EVE record; `run` tells apart the alerts of several runs in one file."""
    signature = _SIGNATURES.get(alert.attack_class, _OTHER)
    # Suricata writes the offset without a colon, and always with a fraction.
    stamp = datetime.fromisoformat(alert.timestamp).strftime("%Y-%m-%dT%H:%M:%S.%f%z")
    record: dict[str, Any] = {"timestamp": stamp, "event_type": "alert"}
    for name in ("src_ip", "src_port", "dst_ip", "dst_port"):
        record |= _end(name, alert.context.get(name, ""))
    if alert.protocol:
        record["proto"] = alert.protocol.upper()
    if alert.service in _APP_PROTO:
        record["app_proto"] = _APP_PROTO[alert.service]
    record["alert"] = {
        "action": "allowed",
        "gid": 1,
        "signature_id": signature.number,
        "rev": 1,
        "signature": signature.text,
        "category": signature.category,
        "severity": signature.severity,
        "metadata": {"tag": _tags(alert, run)},
    }
    return record


def _end(name: str, text: str) -> dict[str, Any]:
    """Return an address or a port as EVE's field of it, nothing where it is none."""
    field = name.replace("dst", "dest")
    if name.endswith("port"):
        return {field: int(text)} if re.fullmatch("[0-9]{1,5}", text) and int(text) < 1 << 16 else {}
    try:
        return {field: str(ip_address(text))}
    except ValueError:
        return {}


def _tags(alert: Alert, run: str) -> list[str]:
    """Return what EVE has no field for, as `key=value`."""
    facts = {
        "run": run,
        "alert": alert.identity,
        "state": alert.state,
        "class": alert.attack_class,
        "score": f"{alert.score:.6g}",
        "threshold": f"{alert.threshold:.6g}",
        "count": alert.count,
        "first_record": alert.first_record,
        "last_record": alert.last_record,
        "service": alert.service,
        **{name: text for name, text in alert.context.items() if not _end(name, text)},
    }
    tags = [f"{key}={value}" for key, value in facts.items() if value != ""]
    return tags + [f"weighed.{feature}={fall:.4g}" for feature, fall in alert.weighed.items()]


class EveSink(Sink):
    """Append EVE lines to a file or to standard output, each by one write of the whole line.

    Nothing is held back in a buffer, so a killed run leaves whole lines only, and several writers may
    share a file: it is open for appending, and the kernel places each line at its end.

    Args:
        descriptor: where to write.
        label: what errors call it.
        owned: close the descriptor at the end.
        path: the file's name, where it has one: it is opened anew if the file was moved away or removed.
    """

    name: ClassVar[str] = "eve"

    def __init__(self, descriptor: int, label: str, owned: bool, path: Path | None = None) -> None:
        self.written = 0
        self.run = secrets.token_hex(4)
        self._descriptor, self._label, self._owned, self._path = descriptor, label, owned, path
        self._is_file, self._is_stale = stat.S_ISREG(os.fstat(descriptor).st_mode), False

    @classmethod
    def open(cls, target: str | Path | None = None) -> Self:
        """Open a file for appending; `None` or `-` is standard output.

        Raises:
            SinkError: the file cannot be opened.
        """
        if target is None or str(target) == "-":
            if sys.stdout is None:  # number 1 may by now be any other file
                raise SinkError("open standard output for alerts", "it is closed", "Name a file")
            return cls(1, "standard output", owned=False)
        try:
            sink = cls(_open(target), str(target), owned=True, path=Path(target))
            sink._end_torn_line()
        except OSError as error:
            raise SinkError(f"open {target} for alerts", str(error), remedy_for(error)) from error
        return sink

    def write(self, alert: Alert) -> None:
        """Write one alert as one line.

        Raises:
            SinkError: the line could not be written whole; no part of it is left in a file.
            BrokenPipeError: the reader of a pipe hung up.
        """
        self._follow()
        text = json.dumps(eve_record(alert, self.run), separators=(",", ":"), allow_nan=False)
        line = text.encode() + b"\n"
        done = 0
        try:
            while done < len(line):  # a second turn only after a short write: a disk just full, a full pipe
                done += self._put(line[done:])
        except BrokenPipeError:
            raise
        except OSError as error:
            left = self._take_back(done)
            raise SinkError(
                f"write alert {alert.identity} to {self._label}",
                f"{error.strerror} after {self.written} alert lines{left}",
                remedy_for(error),
                self.written,
            ) from error
        self.written += 1

    def close(self) -> None:
        """Close the file, if it is this sink's own."""
        if self._owned and self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def reopen(self) -> bool:
        """Open the file anew before the next alert, as loggers do on SIGHUP; False where there is none."""
        self._is_stale = self._path is not None and self._is_file
        return self._is_stale

    def _follow(self) -> None:
        """Open the file of this name, where what is open was moved away, replaced or removed.

        Raises:
            SinkError: it was removed, and no other can be made.
        """
        if self._path is None or not self._is_file:
            return
        held = os.fstat(self._descriptor)
        try:
            is_same = os.path.samestat(self._path.stat(), held)
        except OSError:
            is_same = False
        if is_same and not self._is_stale:
            return
        try:
            descriptor = _open(self._path)
        except OSError as error:
            if held.st_nlink:  # moved: what is written is still to be read where it is now
                return
            request = f"open {self._label} again, which was removed"
            raise SinkError(request, str(error), remedy_for(error), self.written) from error
        os.close(self._descriptor)
        self._descriptor, self._is_stale = descriptor, False
        self._is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._end_torn_line()

    def _put(self, part: bytes) -> int:
        """Write, waiting where the target is a full pipe that its other user made non-blocking."""
        while True:
            try:
                return os.write(self._descriptor, part)
            except BlockingIOError:
                waiting = select.poll()
                waiting.register(self._descriptor, select.POLLOUT)
                waiting.poll()

    def _end_torn_line(self) -> None:
        """End a half line that a crashed machine left, so that the first alert is not glued to it."""
        size = os.fstat(self._descriptor).st_size if self._is_file else 0
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")

    def _take_back(self, done: int) -> str:
        """Cut the `done` bytes of a half line off the file, if they are still its last."""
        if not done:
            return ""
        end = os.lseek(self._descriptor, 0, os.SEEK_CUR) if self._is_file else -1
        if end < 0 or os.fstat(self._descriptor).st_size != end:
            return ", and a part of the line is left behind"
        os.ftruncate(self._descriptor, end - done)
        return ""


def _open(target: str | Path) -> int:
    # Read access too, for the look at the last byte.
    return os.open(target, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _NEW_FILE_MODE)


SINK = EveSink
