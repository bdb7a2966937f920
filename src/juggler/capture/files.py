"""Capture files: pcap and pcapng, compressed or not, told apart by their first bytes, read in blocks.

Sources: the pcap and pcapng drafts of the IETF's opsawg (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng).
Memory is bounded by a chunk and a frame, however large the file is or becomes once it is inflated.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from juggler.capture.frames import BLOCK_FRAMES, LONGEST_FRAME, PADDING, Account, Frames
from juggler.errors import DataError
from juggler.reading.streams import INFLATING_ERRORS, Readable, inflated

CHUNK_BYTES = 8 << 20


_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
"""By the first four bytes: the byte order, and nanoseconds of the second field of a time."""
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_INTERFACE, _OBSOLETE, _SIMPLE, _ENHANCED = 1, 2, 3, 6
_HEAD_BYTES = {_OBSOLETE: 20, _SIMPLE: 4, _ENHANCED: 20}
"""Bytes before the frame in a block of a pcapng, by its kind."""
_MOST_INTERFACES = 65_536
_REMEDY = "Give a pcap or pcapng file, as tcpdump -w, dumpcap or Wireshark write it, compressed or not"


def is_capture(head: bytes) -> bool:
    """Say whether a file with these first bytes is a capture; of a compressed one, its inflated bytes."""
    return head[:4] in _PCAP or head[:4] == _PCAPNG


def read_frames(path: str | Path, account: Account, *, block_frames: int = BLOCK_FRAMES) -> Iterator[Frames]:
    """Yield the frames of a capture in blocks, in the order of the file.

    What cannot be a frame ends the reading: what was whole before it has been yielded, and the account notes
    `cut_off` or `damaged`, with the bytes that were not read.

    Args:
        path: the file, or `-` for standard input.
        account: counts what was received.
        block_frames: the most frames of a block.

    Raises:
        DataError: it cannot be opened, or is no capture.
    """
    with inflated(path) as file:
        yield from frames_of(file, account, name=str(path), block_frames=block_frames)


def frames_of(
    file: Readable, account: Account, *, name: str = "-", block_frames: int = BLOCK_FRAMES
) -> Iterator[Frames]:
    """Yield the frames of an opened capture; see `read_frames`."""
    window = _Window(file, account)
    window.fill(24)
    if not is_capture(window.data[:4]):
        raise DataError(f"read the capture {name}", _what(window.data[:8]), _REMEDY)
    walk = _Pcapng() if window.data[:4] == _PCAPNG else _Pcap(window, name)
    number = account.received + 1
    while True:
        taken = walk.walk(window.data, block_frames)
        if taken.starts:
            account.received += len(taken.starts)
            yield _block(window.data, taken, number)
            number += len(taken.starts)
        window.drop(taken.end)
        if taken.fault:
            account.note("damaged: " + taken.fault)
            return
        if taken.needs and not window.fill(taken.needs):
            window.note_rest()
            return


@dataclass
class _Taken:
    """Whole frames of a window, and how far they reach.

    Attributes:
        end: bytes that are done with.
        needs: bytes from `end` on that the next frame takes, as far as that is known; 0 in a full block.
        fault: why no frame can follow; empty where one may.
    """

    starts: list[int]
    captured: list[int]
    lengths: list[int]
    times_ns: list[int]
    links: list[int]
    end: int = 0
    needs: int = 0
    fault: str = ""


class _Window:
    """The bytes of a file between what is done with and what has been read."""

    def __init__(self, file: Readable, account: Account) -> None:
        # `read1` hands on what is there: whoever pipes a live capture in does not wait for a full chunk.
        self._read = getattr(file, "read1", file.read)
        self._account, self.data = account, b""

    def fill(self, needs: int) -> bool:
        """Read on, until there are so many bytes and more than before; say whether there are."""
        target, pieces, size = max(needs, len(self.data) + 1), [self.data], len(self.data)
        while size < target:
            try:
                piece = self._read(max(CHUNK_BYTES, target - size))
            except INFLATING_ERRORS as error:
                self._account.note(f"damaged: the file cannot be inflated further ({type(error).__name__})")
                piece = b""
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        if len(pieces) > 1:
            self.data = b"".join(pieces)
        return size >= target

    def drop(self, count: int) -> None:
        """Be done with bytes at the front."""
        if count:
            self.data = self.data[count:]

    def note_rest(self) -> None:
        """Note that the file ends in the middle of a frame."""
        if self.data:
            self._account.note("cut_off")
            self._account.note("cut_off_bytes", len(self.data))


class _Pcap:
    """Walk the records of a classic pcap: seconds, fraction, captured and wire length, then the frame."""

    def __init__(self, window: _Window, name: str) -> None:
        if len(window.data) < 24:
            raise DataError(f"read the capture {name}", "it ends within its own header", _REMEDY)
        self._order, self._fraction_ns = _PCAP[window.data[:4]]
        (network,) = struct.unpack_from(self._order + "I", window.data, 20)
        # The upper bits say how long a check sum behind each frame is; no frame here needs it.
        self._link = network & 0xFFFF
        self._record = struct.Struct(self._order + "8xI")
        window.drop(24)

    def walk(self, data: bytes, most: int) -> _Taken:
        """Return the whole records at the front, without looking into frames."""
        unpack, size, at = self._record.unpack_from, len(data), 0
        starts: list[int] = []
        taken = _Taken(starts, [], [], [], [])
        for _ in range(most):
            if at + 16 > size:
                taken.needs = 16
                break
            (length,) = unpack(data, at)
            end = at + 16 + length
            if length > LONGEST_FRAME:
                taken.fault = f"a frame of {length} bytes"
                break
            if end > size:
                taken.needs = end - at
                break
            starts.append(at + 16)
            at = end
        taken.end = at
        if starts:
            heads = np.frombuffer(data, np.uint8)[np.array(starts)[:, None] + np.arange(-16, 0)]
            fields = heads.copy().view(self._order + "u4").astype(np.int64)
            taken.times_ns = fields[:, 0] * 1_000_000_000 + fields[:, 1] * self._fraction_ns  # type: ignore[assignment]
            taken.captured, taken.lengths = fields[:, 2], fields[:, 3]  # type: ignore[assignment]
            taken.links = np.full(len(starts), self._link)  # type: ignore[assignment]
        return taken


@dataclass(frozen=True)
class _Interface:
    link: int
    units_per_s: int
    snap_bytes: int


class _Pcapng:
    """Walk the blocks of a pcapng; sections may have either byte order, interfaces their own clocks."""

    def __init__(self) -> None:
        self._order, self._interfaces = "<", list[_Interface]()

    def walk(self, data: bytes, most: int) -> _Taken:
        """Return the frames of the whole blocks at the front."""
        taken, at, size = _Taken([], [], [], [], []), 0, len(data)
        while len(taken.starts) < most:
            if at + 12 > size:
                taken.needs = 12
                break
            if data[at : at + 4] == _PCAPNG:
                order = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(data[at + 8 : at + 12])
                if order is None:
                    taken.fault = "a section without a byte order"
                    break
                self._order = order
                self._interfaces = []
            kind, length = struct.unpack_from(self._order + "II", data, at)
            if length % 4 or not 12 <= length <= LONGEST_FRAME + (1 << 20):
                taken.fault = f"a block of {length} bytes"
                break
            if at + length > size:
                taken.needs = length
                break
            taken.fault = self._take(data, at, kind, length, taken)
            if taken.fault:
                break
            at += length
        taken.end = at
        return taken

    def _take(self, data: bytes, at: int, kind: int, length: int, taken: _Taken) -> str:
        """Take one block; return what is wrong with it."""
        body, room = at + 8, length - 12
        if kind == _INTERFACE:
            return self._describe(data[body : body + room])
        if kind not in _HEAD_BYTES:
            return ""
        head = _HEAD_BYTES[kind]
        if room < head:
            return "a packet block without room for a packet"
        if kind == _SIMPLE:  # it has no time: that of the frame before
            (wire,) = struct.unpack_from(self._order + "I", data, body)
            snap = self._interfaces[0].snap_bytes if self._interfaces else 0
            who, stamp, captured = 0, None, min(wire, room - head, snap or wire)
        else:
            layout = "IIIII" if kind == _ENHANCED else "H2xIIII"
            who, high, low, captured, wire = struct.unpack_from(self._order + layout, data, body)
            stamp = high << 32 | low
        if who >= len(self._interfaces):
            return f"a packet of interface {who}, which is not described"
        if captured > min(room - head, LONGEST_FRAME):
            return f"a packet of {captured} bytes in a block with room for {room - head}"
        interface = self._interfaces[who]
        before_ns = taken.times_ns[-1] if taken.times_ns else 0
        time_ns = before_ns if stamp is None else stamp * 1_000_000_000 // interface.units_per_s
        taken.starts.append(body + head)
        taken.captured.append(captured)
        taken.lengths.append(wire)
        taken.times_ns.append(min(time_ns, 1 << 62))
        taken.links.append(interface.link)
        return ""

    def _describe(self, body: bytes) -> str:
        if len(body) < 8:
            return "an interface without a link type"
        if len(self._interfaces) >= _MOST_INTERFACES:
            return f"more than {_MOST_INTERFACES} interfaces"
        self._interfaces.append(self._interface(body))
        return ""

    def _interface(self, body: bytes) -> _Interface:
        link, _, snap = struct.unpack_from(self._order + "HHI", body)
        units, at = 1_000_000, 8
        while at + 4 <= len(body):
            code, length = struct.unpack_from(self._order + "HH", body, at)
            value = body[at + 4 : at + 4 + length]
            if code == 0:
                break
            if code == 9 and value:  # if_tsresol: a power of ten, or of two where the top bit is set
                power = value[0] & 0x7F
                units = 2 ** min(power, 60) if value[0] & 0x80 else 10 ** min(power, 18)
            at += 4 + length + -length % 4
        return _Interface(link, units, snap)


def _block(data: bytes, taken: _Taken, number: int) -> Frames:
    first = int(taken.starts[0])
    octets = np.zeros(taken.end - first + PADDING, np.uint8)
    octets[: taken.end - first] = np.frombuffer(data, np.uint8, taken.end - first, first)
    return Frames(
        octets=octets,
        starts=np.asarray(taken.starts, np.int64) - first,
        captured=np.asarray(taken.captured, np.int64),
        lengths=np.asarray(taken.lengths, np.int64),
        times_ns=np.asarray(taken.times_ns, np.int64),
        links=np.asarray(taken.links, np.int64),
        first_number=number,
    )


def _what(head: bytes) -> str:
    return "it is empty" if not head else f"it begins with {head[:8].hex(' ')}, as no capture does"
