"""Read lines from a file or a live stream as they come: one alone at once, a burst as one block."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from juggler.data import BadRow
from juggler.data.kinds import HEAD_BYTES
from juggler.errors import ConfigError, DataError
from juggler.stopping import StopRequest

BLOCK_BYTES = 1 << 20
BLOCK_LINES = 1 << 14  # a block of empty lines would otherwise become a million bad rows at once
LINE_BYTES = 1 << 16  # a record of 43 columns takes about 150 bytes
_TEXT_BYTES = 200
_LOOK_BYTES = 4096  # without a line end in so many, what comes is no line
_NEWLINE = ord("\n")


class HasDescriptor(Protocol):
    """A file object of the operating system; what it has read ahead already is not seen."""

    def fileno(self) -> int:
        """Return the file descriptor."""


Stream = int | str | Path | HasDescriptor


@dataclass(frozen=True, slots=True)
class Block:
    r"""Whole lines that follow one another; no lines at all means that the stream is idle.

    Attributes:
        data: the lines; only the last of the input may lack its `\n`.
        first_line: number of the first line, from 1.
        lines: how many.
        read_bytes: bytes taken from the stream so far.
    """

    data: bytes
    first_line: int
    lines: int
    read_bytes: int


@contextmanager
def opened(stream: Stream) -> Iterator[int]:
    """Give the descriptor of a path, a descriptor or a file object; close only what was opened here.

    Raises:
        DataError: the path cannot be opened for reading.
        ConfigError: the object has no file descriptor.
    """
    if isinstance(stream, int):
        if stream == 0 and sys.stdin is None:  # number 0 may by now be any other file
            raise DataError(
                "read records from standard input", "it is closed", "Pipe records in, or name a file"
            )
        yield stream
        return
    if not isinstance(stream, str | Path):
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError, AttributeError) as error:
            remedy = "Give a path, an open file, or a file descriptor"
            raise ConfigError("read records", f"{stream!r} has no file descriptor", remedy) from error
        yield descriptor
        return
    if Path(stream).is_dir():
        raise DataError(f"read records from {stream}", "it is a folder", "Name one of the files in it")
    try:
        descriptor = os.open(stream, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(
            f"read records from {stream}", str(reason), "Check the path, or use - for standard input"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class LineReader:
    """Yield blocks of whole lines, and a `BadRow` for each line that is too long to be a record.

    What one read returns is handed on at once, so a lone line waits for nothing; behind a slow
    consumer a stream piles up in its pipe and comes as one larger block. Memory stays bounded by a
    block and a line, whatever arrives.

    Args:
        descriptor: where to read.
        stop: ends the reading when asked.
        idle_s: silence after which an empty block is yielded, so that time can pass for the consumer.
        look: given the first bytes, with a line end or a good many, before anything is yielded; it may raise.
        block_bytes: most bytes of one read.
        block_lines: most lines of one block.
        line_bytes: longest line that may be a record.
    """

    def __init__(
        self,
        descriptor: int,
        stop: StopRequest,
        *,
        idle_s: float = 1.0,
        look: Callable[[bytes], None] | None = None,
        block_bytes: int = BLOCK_BYTES,
        block_lines: int = BLOCK_LINES,
        line_bytes: int = LINE_BYTES,
    ) -> None:
        self._descriptor, self._stop = descriptor, stop
        self._idle_ms, self._block_bytes = idle_s * 1e3, block_bytes
        self._block_lines, self._line_bytes = block_lines, line_bytes
        self._line, self._read_bytes = 1, 0
        self._tail = bytearray()  # the beginning of a line whose end has not come yet
        self._look, self._head = look, b""
        self._overlong_bytes = 0  # length so far of an overlong line that is being passed over

    def __iter__(self) -> Iterator[Block | BadRow]:
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        waiting.register(self._stop.fileno(), select.POLLIN)
        while not self._stop.requested:
            ready = waiting.poll(self._idle_ms)
            if not ready:
                yield Block(b"", self._line, 0, self._read_bytes)
            elif not self._stop.requested:
                chunk = self._read()
                if not chunk:
                    break
                self._look_at(chunk)
                yield from self._take(chunk)
        self._look_at(b"", is_end=not self._stop.requested)
        yield from self._finish()

    def total_bytes(self) -> int | None:
        """Return the size of the input where it is a file, None where it is a stream."""
        with self._errors_translated():
            status = os.fstat(self._descriptor)
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def _look_at(self, chunk: bytes, *, is_end: bool = False) -> None:
        """Show what came first, once there is enough of it."""
        if self._look is None:
            return
        self._head += chunk[:HEAD_BYTES]
        if b"\n" in self._head or len(self._head) >= _LOOK_BYTES or (is_end and self._head):
            look, self._look = self._look, None
            look(self._head)

    def _read(self) -> bytes:
        with self._errors_translated():
            chunk = os.read(self._descriptor, self._block_bytes)
        self._read_bytes += len(chunk)
        return chunk

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            request = f"read on after {self._line - 1} lines"
            raise DataError(request, str(error.strerror), "Check that the input is open and whole") from error

    def _take(self, chunk: bytes) -> Iterator[Block | BadRow]:
        """Join the chunk to what is left of the one before and yield its whole lines."""
        if self._overlong_bytes:
            end = chunk.find(b"\n")
            self._overlong_bytes += len(chunk) if end < 0 else end
            if end < 0:
                return
            yield self._end_overlong()
            chunk = chunk[end + 1 :]
        end = chunk.rfind(b"\n")
        if end >= 0:
            block = bytes(self._tail) + chunk[: end + 1]
            self._tail = bytearray(chunk[end + 1 :])
            yield from self._split(block)
        else:
            self._tail += chunk
        if len(self._tail) > self._line_bytes:
            self._overlong_bytes = len(self._tail)
            del self._tail[_TEXT_BYTES:]

    def _split(self, block: bytes) -> Iterator[Block | BadRow]:
        """Yield the lines as one block, or as several: around overlong lines, and of so many lines each."""
        lines = block.count(b"\n")
        if len(block) <= self._line_bytes and lines <= self._block_lines:
            yield self._block(block, lines)
            return
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE)
        lengths = np.diff(ends, prepend=-1) - 1
        first = 0  # line of `whole` from which on nothing is yielded yet
        for overlong in [*np.flatnonzero(lengths > self._line_bytes).tolist(), lines]:
            for begin in range(first, overlong, self._block_lines):
                last = min(begin + self._block_lines, overlong) - 1
                start = int(ends[begin] - lengths[begin])
                yield self._block(block[start : int(ends[last]) + 1], last - begin + 1)
            if overlong < lines:
                start = int(ends[overlong] - lengths[overlong])
                yield self._overlong(block[start : start + _TEXT_BYTES], int(lengths[overlong]))
            first = overlong + 1

    def _finish(self) -> Iterator[Block | BadRow]:
        """Yield what is left when the input ends or the run is asked to stop."""
        if self._overlong_bytes:
            yield self._end_overlong()
        elif self._tail and self._stop.requested:
            yield self._bad(bytes(self._tail), "the run was stopped before the end of this line arrived")
        elif self._tail:
            yield self._block(bytes(self._tail), 1)
        self._tail.clear()

    def _block(self, data: bytes, lines: int) -> Block:
        block = Block(data, self._line, lines, self._read_bytes)
        self._line += lines
        return block

    def _end_overlong(self) -> BadRow:
        row = self._overlong(bytes(self._tail), self._overlong_bytes)
        self._overlong_bytes = 0
        self._tail.clear()
        return row

    def _overlong(self, head: bytes, length: int) -> BadRow:
        return self._bad(head, f"a line of {length} bytes; a record has at most {self._line_bytes}")

    def _bad(self, head: bytes, reason: str) -> BadRow:
        row = BadRow(self._line, reason, head[:_TEXT_BYTES].decode("utf-8", "replace"))
        self._line += 1
        return row
