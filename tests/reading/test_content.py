"""Only plain files are read, and no more of them than is wanted."""

from __future__ import annotations

import os

import pytest

from juggler.errors import ArtefactError
from juggler.reading.content import read_content, read_text
from juggler.reading.request import Request

REQUEST = Request("read it", "Name another")


def test_a_plain_file_is_read_up_to_its_limit(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    (tmp_path / "link").symlink_to(path)
    assert read_content(path, REQUEST, 3) == read_content(tmp_path / "link", REQUEST, 3) == b"abc"
    assert read_text(path, REQUEST, 3) == "abc"
    for source in (path, b"abc"):
        with pytest.raises(ArtefactError, match="it has 3 bytes, more than 2 bytes"):
            read_content(source, REQUEST, 2)


def test_what_may_never_end_is_not_begun(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(ArtefactError, match="no plain file"):
            read_content(source, REQUEST, 100)


def test_a_file_that_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(ArtefactError, match="there is no such file"):
        read_content(tmp_path / "missing", REQUEST, 100)
    with pytest.raises(ArtefactError, match="null"):
        read_content("a\0b", REQUEST, 100)
    (tmp_path / "file").write_bytes(b"\xff")
    with pytest.raises(ArtefactError, match="UTF-8"):
        read_text(tmp_path / "file", REQUEST, 100)
