"""A signed artefact is its owner's, whole, and the newest that was seen."""

from __future__ import annotations

import json
import os
import stat

import pytest

from juggler.errors import ArtefactError, ConfigError
from juggler.signatures import PUBLIC, new_key, sign, signature_path, verify


@pytest.fixture
def signed(tmp_path):
    new_key(tmp_path / "owner.key")
    artefact = tmp_path / "detector.onnx"
    artefact.write_bytes(b"a detector")
    sign(artefact, b"a detector", tmp_path / "owner.key")
    return artefact


def check(artefact, key="owner.key.pub"):
    return verify(artefact, artefact.read_bytes(), artefact.parent / key, state=artefact.parent / "state")


def altered(artefact, **fields):
    path = signature_path(artefact)
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_what_was_signed_passes_as_often_as_one_likes(signed):
    assert check(signed) == check(signed)
    assert check(signed).name == "detector.onnx"


def test_the_private_key_is_its_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        public = new_key(tmp_path / "a.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert public == tmp_path / f"a.key{PUBLIC}"
    assert b"PRIVATE" not in public.read_bytes()
    with pytest.raises(ConfigError, match="already"):
        new_key(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(0o644)
    with pytest.raises(ConfigError, match="others may read it"):
        sign(tmp_path / "x", b"", tmp_path / "a.key")


def test_unsigned_is_refused(signed):
    signature_path(signed).unlink()
    with pytest.raises(ArtefactError, match="not signed"):
        check(signed)


def test_changed_is_refused(signed):
    signed.write_bytes(b"a detectoR")
    with pytest.raises(ArtefactError, match="changed after it was signed"):
        check(signed)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "other"},
        {"signed_at": "2099-01-01T00:00:00+00:00"},
        {"sha256": "0" * 64},
        {"signature": "AAAA"},
        {"signature": 5},
        {"signature": "no base64!"},
        {"signed_at": "yesterday"},
        {"signed_at": None},
        {"more": 1},
        {"format": 2},
        {"key": "0" * 16},
    ],
)
def test_an_altered_signature_is_refused(signed, fields):
    altered(signed, **fields)
    with pytest.raises(ArtefactError):
        check(signed)


def test_another_key_is_refused(signed):
    new_key(signed.parent / "thief.key")
    with pytest.raises(ArtefactError, match="signed with the key"):
        check(signed, "thief.key.pub")
    sign(signed, signed.read_bytes(), signed.parent / "thief.key")
    with pytest.raises(ArtefactError, match="signed with the key"):
        check(signed)
    altered(signed, key=json.loads(signature_path(signed).read_text())["key"][::-1])
    with pytest.raises(ArtefactError):
        check(signed)


def test_older_is_refused_and_newer_is_noted(signed, monkeypatch):
    import juggler.signatures as module  # noqa: PLC0415

    class Later(module.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromisoformat("2098-01-01T00:00:00+00:00")

    old = signed.read_bytes(), signature_path(signed).read_bytes()
    check(signed)
    monkeypatch.setattr(module, "datetime", Later)
    signed.write_bytes(b"a newer detector")
    sign(signed, b"a newer detector", signed.parent / "owner.key")
    check(signed)
    signed.write_bytes(old[0])
    signature_path(signed).write_bytes(old[1])
    with pytest.raises(ArtefactError, match="one of 2098-01-01T00:00:00\\+00:00 was seen before"):
        check(signed)


def test_a_damaged_note_is_no_leave_to_begin_anew(signed):
    check(signed)
    (note,) = (signed.parent / "state").iterdir()
    note.write_text("{")
    with pytest.raises(ArtefactError, match="JSON"):
        check(signed)


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"\xff" * 100]
)
def test_what_is_no_key_is_refused(signed, content):
    (signed.parent / "bad").write_bytes(content)
    with pytest.raises(ConfigError):
        check(signed, "bad")
    (signed.parent / "bad").chmod(0o600)
    with pytest.raises(ConfigError):
        sign(signed, b"", signed.parent / "bad")
