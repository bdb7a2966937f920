import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import threading

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler.capture.files import frames_of, read_frames
from juggler.capture.frames import Account, Frames
from juggler.errors import DataError
from made_up_captures import BEGIN_NS, Frame, pcap, pcapng, pcapng_block

DRAW = random.Random(7)  # noqa: S311
FRAMES = [
    Frame(DRAW.randbytes(size), BEGIN_NS + 1_234_567 * i)
    for i, size in enumerate([60, 1500, 0, 1, 9000, 61, 62, 63, 64])
]


def contents(blocks: list[Frames]) -> list[Frame]:
    return [
        Frame(b.octets[start : start + captured].tobytes(), time, length)
        for b in blocks
        for start, captured, time, length in zip(
            b.starts.tolist(), b.captured.tolist(), b.times_ns.tolist(), b.lengths.tolist(), strict=True
        )
    ]


def read(data: bytes, **options: int) -> tuple[list[Frame], Account]:
    account = Account()
    blocks = list(frames_of(io.BytesIO(data), account, **options))
    assert account.received == sum(map(len, blocks))
    numbers = [block.first_number for block in blocks]
    assert numbers == [1 + sum(map(len, blocks[:i])) for i in range(len(blocks))]
    return contents(blocks), account


def expected(unit_ns: int) -> list[Frame]:
    return [Frame(f.octets, f.time_ns // unit_ns * unit_ns, len(f.octets)) for f in FRAMES]


@pytest.mark.parametrize("block_frames", [1, 4, 65_536])
@pytest.mark.parametrize(
    ("data", "unit_ns"),
    [
        (pcap(FRAMES), 1000),
        (pcap(FRAMES, order=">"), 1000),
        (pcap(FRAMES, nanoseconds=True), 1),
        (pcap(FRAMES, order=">", nanoseconds=True), 1),
        (pcapng(FRAMES), 1),
        (pcapng(FRAMES, order=">"), 1),
        (pcapng(FRAMES, resolution=6), 1000),
        (pcapng(FRAMES, kind=2), 1),
        (pcapng(FRAMES[:4], resolution=6) + pcapng(FRAMES[4:], order=">", resolution=6), 1000),
    ],
)
def test_frames_of_every_format_come_as_they_went_in(data, unit_ns, block_frames):
    frames, account = read(data, block_frames=block_frames)
    assert frames == expected(unit_ns)
    assert not account.noted


def test_simple_packets_of_a_pcapng_have_no_time():
    frames, _ = read(pcapng(FRAMES, kind=3))
    assert [f.octets for f in frames] == [f.octets for f in FRAMES]


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        bz2.compress,
        lzma.compress,
        lambda data: pa.compress(data, "zstd", asbytes=True),
        lambda data: _lz4(data),  # noqa: PLW0108  # defined below,
    ],
    ids=["gzip", "bz2", "xz", "zstd", "lz4"],
)
def test_a_compressed_capture_is_read_by_its_first_bytes(pack, tmp_path):
    path = tmp_path / "capture"  # no name says what it is
    path.write_bytes(pack(pcap(FRAMES, nanoseconds=True)))
    account = Account()
    assert contents(list(read_frames(path, account))) == expected(1)


def _lz4(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def test_a_compressed_capture_that_is_cut_off_gives_what_was_whole(tmp_path):
    path = tmp_path / "cut.pcap.gz"
    path.write_bytes(gzip.compress(pcap(FRAMES * 40))[:-2000])
    account = Account()
    frames = contents(list(read_frames(path, account)))
    assert 0 < len(frames) < len(FRAMES) * 40
    assert frames[: len(FRAMES)] == expected(1000)
    assert any("inflated" in note for note in account.noted)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_capture_that_is_cut_off_anywhere_gives_its_whole_frames_and_counts_the_rest(data):
    make, head = data.draw(st.sampled_from([(pcap, 24), (pcapng, 28 + 32 + 24)]))
    whole = make(FRAMES)
    size = data.draw(st.integers(head, len(whole)))
    frames, account = read(whole[:size])
    assert frames == (expected(1000) if make is pcap else expected(1))[: len(frames)]
    used = make(FRAMES[: len(frames)])
    assert account.noted["cut_off_bytes"] == size - len(used) < len(make(FRAMES[: len(frames) + 1])) - len(
        used
    ) or (len(frames) == len(FRAMES))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"\xd4\xc3\xb2", "d4 c3 b2"),
        (b"\xd4\xc3\xb2\xa1\x02\x00", "ends within its own header"),
        (b"0,tcp,http,SF,1,2\n", "as no capture does"),
    ],
)
def test_what_is_no_capture_is_refused(data, said):
    with pytest.raises(DataError, match=said):
        read(data)


LONG = (1 << 31).to_bytes(4, "little")
SECTION = pcapng([])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pcap(FRAMES[:2]) + bytes(8) + LONG + bytes(4), "a frame of 2147483648 bytes"),
        (pcapng(FRAMES[:2]) + b"\6\0\0\0" + LONG + bytes(4), "a block of 2147483648 bytes"),
        (pcapng(FRAMES[:2]) + b"\6\0\0\0\x0d\0\0\0" + bytes(40), "a block of 13 bytes"),
        (pcapng(FRAMES[:2]) + pcapng_block("<", 6, b"\x05" + bytes(23)), "a packet of interface 5"),
        (
            pcapng(FRAMES[:2]) + pcapng_block("<", 6, bytes(12) + b"\xff\xff" + bytes(6)),
            "65535 bytes in a block",
        ),
        (pcapng(FRAMES[:2]) + pcapng_block("<", 6, bytes(8)), "without room"),
        (pcapng(FRAMES[:2]) + pcapng_block("<", 0x0A0D0D0A, bytes(16)), "byte order"),
        (pcapng(FRAMES[:2]) + pcapng_block("<", 1, bytes(4)), "without a link type"),
    ],
)
def test_lengths_that_lie_end_the_reading_after_what_was_whole(data, said):
    frames, account = read(data)
    assert [f.octets for f in frames] == [f.octets for f in FRAMES[:2]]
    assert any(said in note for note in account.noted)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([pcap, pcapng]), st.integers(0, 2000), st.integers(1, 5))
def test_damage_never_ends_in_anything_but_our_errors(junk, make, at, block_frames):
    data = bytearray(make(FRAMES))
    data[at : at + len(junk)] = junk
    try:
        read(bytes(data), block_frames=block_frames)
    except DataError:
        assert at < 32


def test_frames_of_a_pipe_come_before_it_ends(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = pcap(FRAMES)
    seen = threading.Event()

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            file.write(data)
            assert seen.wait(20)

    writer = threading.Thread(target=write)
    writer.start()
    account = Account()
    blocks = read_frames(pipe, account)
    first = next(blocks)
    assert contents([first]) == expected(1000)[: len(first)]
    seen.set()
    rest = list(blocks)
    writer.join(20)
    assert contents([first, *rest]) == expected(1000)


def test_standard_input_is_read_for_a_dash():
    code = (
        "from juggler.capture.files import read_frames; from juggler.capture.frames import Account\n"
        "print(sum(len(b) for b in read_frames('-', Account())))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pcap(FRAMES), capture_output=True, check=True)
    assert int(done.stdout) == len(FRAMES)


def test_memory_is_bounded_by_a_chunk_however_large_a_capture_becomes(tmp_path):
    path = tmp_path / "bomb.pcap.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(pcap([]))
        for _ in range(40):
            file.write(bytes(1 << 20))
    account = Account()
    largest = max(block.octets.nbytes for block in read_frames(path, account))
    assert account.received == 40 * (1 << 20) // 16
    assert largest < 3 * 65_536 * 16
