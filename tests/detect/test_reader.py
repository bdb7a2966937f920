from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggler.data import BadRow
from juggler.detect.reader import Block, LineReader, opened
from juggler.errors import ConfigError, DataError
from juggler.stopping import StopRequest


def read_all(path: Path, **limits: int) -> list[Block | BadRow]:
    with opened(path) as descriptor, StopRequest() as stop:
        return list(LineReader(descriptor, stop, **limits))  # type: ignore[arg-type]


def text_of(pieces: list[Block | BadRow]) -> bytes:
    return b"".join(p.data for p in pieces if isinstance(p, Block))


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_a_file_comes_as_blocks_that_count_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(b"a\nbb\r\n\nccc")
    pieces = read_all(path)
    assert text_of(pieces) == b"a\nbb\r\n\nccc"
    numbers = [(p.first_line, p.lines) for p in pieces if isinstance(p, Block)]
    assert numbers == [(1, 3), (4, 1)]


@given(
    st.lists(st.integers(0, 12).map(lambda n: b"x" * n), max_size=30),
    st.booleans(),
    st.integers(1, 40),
    st.integers(1, 5),
)
def test_every_line_comes_once_in_order_however_it_is_cut(
    lines: list[bytes], ended: bool, block_bytes: int, block_lines: int
) -> None:
    data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    wanted = data.split(b"\n")[: -1 if not data or data.endswith(b"\n") else None]
    read_end, write_end = os.pipe()
    os.write(write_end, data)
    os.close(write_end)
    with StopRequest() as stop:
        limits = {"block_bytes": block_bytes, "block_lines": block_lines, "line_bytes": 8}
        pieces = list(LineReader(read_end, stop, **limits))  # type: ignore[arg-type]
    os.close(read_end)
    seen: dict[int, bytes | None] = {}
    for piece in pieces:
        if isinstance(piece, BadRow):
            seen[piece.line] = None
            continue
        assert piece.lines <= block_lines
        rows = piece.data.removesuffix(b"\n").split(b"\n")
        assert len(rows) == piece.lines
        seen |= {piece.first_line + i: row for i, row in enumerate(rows)}
    assert list(seen) == list(range(1, len(wanted) + 1))
    assert list(seen.values()) == [line if len(line) <= 8 else None for line in wanted]


def test_a_line_alone_is_not_kept_waiting(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    with StopRequest() as stop:
        reader = iter(LineReader(read_end, stop, idle_s=30))
        os.write(write_end, b"one record\nand ha")
        block = next(reader)
        assert isinstance(block, Block)
        assert (block.data, block.lines, block.first_line) == (b"one record\n", 1, 1)
        os.write(write_end, b"lf\n")
        half = next(reader)
        assert isinstance(half, Block)
        assert half.data == b"and half\n"


def test_silence_is_told(pipe: tuple[int, int]) -> None:
    with StopRequest() as stop:
        block = next(iter(LineReader(pipe[0], stop, idle_s=0.01)))
    assert block == Block(b"", 1, 0, 0)


@pytest.mark.parametrize("newline", [b"\n", b""])
def test_a_line_of_ten_megabytes_is_one_bad_row(tmp_path: Path, newline: bytes) -> None:
    path = tmp_path / "records"
    path.write_bytes(b"first\n" + b"z" * 10_000_000 + newline + (b"last\n" if newline else b""))
    pieces = read_all(path)
    (bad,) = [p for p in pieces if isinstance(p, BadRow)]
    assert bad == BadRow(2, "a line of 10000000 bytes; a record has at most 65536", "z" * 200)
    assert text_of(pieces) == (b"first\nlast\n" if newline else b"first\n")


def test_a_million_empty_lines_come_in_bounded_blocks(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(b"\n" * 1_000_000)
    blocks = [p for p in read_all(path) if isinstance(p, Block)]
    assert sum(b.lines for b in blocks) == 1_000_000
    assert max(b.lines for b in blocks) <= 1 << 14


def test_a_request_to_stop_ends_it_and_names_the_line_it_cut(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"one\ntw")
    with StopRequest() as stop:
        reader = iter(LineReader(pipe[0], stop, idle_s=30))
        assert isinstance(next(reader), Block)
        stop.request()
        (bad,) = reader
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.text) == (2, "tw")
    assert "stopped" in bad.reason


def test_an_interrupt_ends_a_reader_that_waits(pipe: tuple[int, int]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        assert list(LineReader(pipe[0], stop, idle_s=30)) == []
        timer.join()
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_can_ask(pipe: tuple[int, int]) -> None:
    found: list[object] = []
    stop = StopRequest()

    def work() -> None:
        with stop:
            found.extend(LineReader(pipe[0], stop, idle_s=30))
            found.append("ended")

    thread = threading.Thread(target=work)
    thread.start()
    stop.request()
    thread.join(30)
    assert found == ["ended"]


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it is a folder"), opened(tmp_path):
        pass
    with pytest.raises(DataError, match="No such file"), opened(tmp_path / "missing"):
        pass
    with pytest.raises(DataError, match="null"), opened("a\0b"):
        pass
    with pytest.raises(ConfigError, match="no file descriptor"), opened(io.BytesIO(b"x")):  # type: ignore[arg-type]
        pass
    with StopRequest() as stop, pytest.raises(DataError, match="Bad file descriptor"):
        list(LineReader(987, stop))


def test_an_open_file_is_read_and_left_open(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(b"a\n")
    with path.open("rb", buffering=0) as file:
        with opened(file) as descriptor, StopRequest() as stop:
            assert text_of(list(LineReader(descriptor, stop))) == b"a\n"
        assert not file.closed


def test_a_request_after_the_end_is_harmless() -> None:
    with StopRequest() as stop:
        pass
    stop.request()
    assert stop.requested
