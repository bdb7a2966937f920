"""Zip archives are unpacked in memory, and only what makes sense."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile

import pytest

from juggler.errors import ArtefactError
from juggler.reading.request import Request
from juggler.reading.zips import ZipLimits, open_zip

REQUEST = Request("read it", "Copy it again")


def zipped(*entries, method=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(content, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return content.getvalue()


def link():
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def test_an_archive_is_read_from_a_file_and_from_bytes(tmp_path):
    content = zipped(("a/b.txt", b"text"), ("c", b"x" * 1000), method=zipfile.ZIP_DEFLATED)
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    for source in (path, content):
        with open_zip(source, REQUEST) as archive:
            assert archive.sizes() == {"a/b.txt": 4, "c": 1000}
            assert archive.read("a/b.txt") == b"text"
            with pytest.raises(ArtefactError, match="at most 10"):
                archive.read("c", 10)
            with pytest.raises(ArtefactError, match="no 'd'"):
                archive.read("d")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "zip"),
        (b"PK\x05\x06" + b"\xff" * 18, "zip"),
        (zipped(("a", b"1"), ("a", b"2")), "twice"),
        (zipped(("../a", b"1")), "leads out"),
        (zipped(("/a", b"1")), "leads out"),
        (zipped(("a\\..\\b", b"1")), "leads out"),
        (zipped((link(), b"/etc/passwd")), "is a link"),
        (zipped(("a", b"1"), method=zipfile.ZIP_BZIP2), "unusual"),
        (zipped(("a", bytes(20 << 20)), method=zipfile.ZIP_DEFLATED), "unpacks to"),
        (zipped(*((str(number), b"") for number in range(4097))), "4,096 files"),
    ],
)
def test_an_archive_that_is_none_is_refused(content, fault):
    with pytest.raises(ArtefactError, match=fault), open_zip(content, REQUEST):
        pass


def test_the_sizes_are_bounded_together():
    content = zipped(*((str(number), bytes(100)) for number in range(4)))
    limits = ZipLimits(size=399)
    with pytest.raises(ArtefactError, match="unpacks to 400 bytes"), open_zip(content, REQUEST, limits):
        pass


@pytest.mark.parametrize("size", [3, 5])
def test_a_size_that_lies_is_seen(size):
    content = bytearray(zipped(("a", b"1234")))
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", size)
    with open_zip(bytes(content), REQUEST) as archive, pytest.raises(ArtefactError):
        archive.read("a")


def test_only_what_is_wanted_is_looked_at(tmp_path):
    path = tmp_path / "downloads.zip"
    path.write_bytes(zipped(("x/data.txt", b"1"), ("../other", b"2"), (link(), b"3")))
    with open_zip(path, REQUEST, only="data.txt") as archive:
        assert archive.sizes() == {"x/data.txt": 1}
