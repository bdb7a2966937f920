import json
import os
import resource
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from juggler.data.picture_cache import ABOUT, IMAGES, LABELS, Batch, decoded, key_of
from juggler.data.pictures import pictures_sha256
from juggler.errors import DataError
from made_pictures import drawn

KEY = key_of("a test")


class Decoder:
    """Gives the same pictures in batches, and counts how often it was asked."""

    def __init__(self, count=50, notes=("a note",)):
        self.images, self.labels = drawn(count, 5, size=6)
        self.notes, self.calls = notes, 0

    def __call__(self):
        self.calls += 1
        for start in range(0, len(self.labels), 20):
            rows = slice(start, start + 20)
            yield Batch(self.images[rows], self.labels[rows], self.notes)

    def check(self, found):
        np.testing.assert_array_equal(found.images, self.images)
        np.testing.assert_array_equal(found.labels, self.labels)
        assert found.notes == self.notes
        assert found.sha256 == pictures_sha256(self.images, self.labels)


@pytest.fixture
def decoder():
    return Decoder()


def test_pictures_are_decoded_once_and_then_mapped(tmp_path, decoder):
    for _ in range(3):
        found = decoded(tmp_path / "new" / "cache", KEY, decoder)
        decoder.check(found)
        assert isinstance(found.images, np.memmap)
    assert decoder.calls == 1
    assert [path.name for path in (tmp_path / "new" / "cache").iterdir()] == [KEY]
    np.testing.assert_array_equal(np.load(tmp_path / "new" / "cache" / KEY / IMAGES), decoder.images)
    np.testing.assert_array_equal(np.load(tmp_path / "new" / "cache" / KEY / LABELS), decoder.labels)


def test_what_is_written_to_a_map_stays_in_memory(tmp_path, decoder):
    found = decoded(tmp_path, KEY, decoder)
    found.images[:] = 0
    decoder.check(decoded(tmp_path, KEY, decoder))
    assert decoder.calls == 1


def test_keys_tell_apart_what_is_decoded():
    facts = [("cifar10", "train", "ab"), ("cifar10", "test", "ab"), ("cifar10train", "", "ab"), ("cifar10",)]
    keys = {key_of(*fact) for fact in facts}
    assert len(keys) == 4 and all(len(key) == 64 for key in keys)
    assert key_of("a", 1, ("b",)) == key_of("a", 1, ["b"])


def _truncate(path):
    os.truncate(path, path.stat().st_size - 1)


def _grow(path):
    with path.open("ab") as file:
        file.write(b"\0")


def _flip(path, at=-3):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "images cut short": lambda place: _truncate(place / IMAGES),
    "images too long": lambda place: _grow(place / IMAGES),
    "one bit of a picture": lambda place: _flip(place / IMAGES),
    "the header": lambda place: _flip(place / IMAGES, 20),
    "one bit of a label": lambda place: _flip(place / LABELS, 130),
    "labels empty": lambda place: (place / LABELS).write_bytes(b""),
    "images gone": lambda place: (place / IMAGES).unlink(),
    "about gone": lambda place: (place / ABOUT).unlink(),
    "about of something else": lambda place: (place / ABOUT).write_text("[1, 2]"),
    "about no JSON": lambda place: (place / ABOUT).write_bytes(b"\xff\xfe{"),
    "another digest": lambda place: (place / ABOUT).write_text(
        json.dumps(json.loads((place / ABOUT).read_text()) | {"sha256": "0" * 64})
    ),
    "a shape that is none": lambda place: (place / ABOUT).write_text(
        json.dumps(json.loads((place / ABOUT).read_text()) | {"shape": [-1, "a", 1 << 70, None]})
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_found_and_made_anew(tmp_path, decoder, damage):
    decoded(tmp_path, KEY, decoder)
    damage(tmp_path / KEY)
    decoder.check(decoded(tmp_path, KEY, decoder))
    assert decoder.calls == 2
    decoder.check(decoded(tmp_path, KEY, decoder))
    assert decoder.calls == 2
    assert [path.name for path in tmp_path.iterdir()] == [KEY], "nothing is left beside it"


def test_a_file_where_the_entry_should_be_is_replaced(tmp_path, decoder):
    (tmp_path / KEY).write_text("a file")
    decoder.check(decoded(tmp_path, KEY, decoder))
    assert (tmp_path / KEY / IMAGES).is_file()


def test_who_has_mapped_a_damaged_entry_keeps_it(tmp_path, decoder):
    before = decoded(tmp_path, KEY, decoder)
    (tmp_path / KEY / ABOUT).unlink()
    decoded(tmp_path, KEY, decoder)
    decoder.check(before)


def test_two_writers_at_once_both_end_well(tmp_path):
    decoders = [Decoder(400) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda decoder: decoded(tmp_path, KEY, decoder), decoders)]
    for decoder, one in zip(decoders, found, strict=True):
        decoder.check(one)
    assert [path.name for path in tmp_path.iterdir()] == [KEY]


def test_a_cache_that_cannot_be_made_is_warned_of_and_done_without(tmp_path, decoder):
    (tmp_path / "taken").write_text("a file where the folder should be")
    for _ in range(2):
        with pytest.warns(UserWarning, match="cannot be kept in .*taken.*held in memory"):
            decoder.check(decoded(tmp_path / "taken", KEY, decoder))


def test_a_disk_that_fills_up_half_way_loses_nothing(tmp_path, decoder):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))  # the first batch fits, all do not
        with pytest.warns(UserWarning, match="File too large"):
            found = decoded(tmp_path, KEY, decoder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    decoder.check(found)
    assert [*tmp_path.iterdir()] == []


def test_an_error_of_the_pictures_leaves_nothing(tmp_path, decoder):
    def broken():
        yield from decoder()
        raise DataError("decode picture 51", "no picture", "Replace it")

    def uneven():
        yield from decoder()
        yield Batch(np.zeros((1, 3, 5, 6), np.uint8), np.zeros(1, np.int64))

    for batches, message in [
        (broken, "picture 51"),
        (uneven, "shapes"),
        (lambda: iter(()), "there are none"),
    ]:
        with pytest.raises(DataError, match=message):
            decoded(tmp_path, KEY, batches)
        assert [*tmp_path.iterdir()] == []


def test_what_killed_processes_left_is_swept_after_a_day(tmp_path, decoder):
    for name, age_s in ((".new-1-old", 100_000), (".old-1-old", 100_000), (".new-2-young", 60)):
        (tmp_path / name).mkdir()
        (tmp_path / name / IMAGES).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    decoded(tmp_path, KEY, decoder)
    assert {path.name for path in tmp_path.iterdir()} == {KEY, ".new-2-young"}


def test_a_process_killed_half_way_leaves_no_entry(tmp_path, decoder):
    script = f"""
        import sys, time
        from pathlib import Path
        import numpy as np
        from juggler.data.picture_cache import Batch, decoded

        def batches():
            yield Batch(np.zeros((9, 3, 6, 6), np.uint8), np.zeros(9, np.int64))
            print("half", flush=True)
            time.sleep(60)

        decoded(Path({str(tmp_path)!r}), {KEY!r}, batches)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "half\n"
        process.kill()
    assert not (tmp_path / KEY).exists()
    decoder.check(decoded(tmp_path, KEY, decoder))
