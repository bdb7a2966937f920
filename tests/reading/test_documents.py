"""JSON and TOML are plain values, and few of them."""

from __future__ import annotations

import json

import pytest

from juggler.errors import ConfigError, DataError
from juggler.reading.documents import DocumentLimits, parse_json, parse_object, read_json, read_toml
from juggler.reading.request import Request

REQUEST = Request("read the file", "Mend it", DataError)


def test_what_was_written_is_read_back(tmp_path):
    value = {"a": [1, 2.5, None, True, "é\U0001f600"], "b": {"c": -(2**63)}, "d": []}
    path = tmp_path / "file.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(value).encode())
    assert read_json(path, REQUEST) == value
    assert parse_object(json.dumps(value), REQUEST) == value


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting"),
        (b"\xff\xfe{}", "decode"),
        (b"[" * 100_000, "RecursionError"),
        (b"[" * 70 + b"]" * 70, "64 deep"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "64 deep"),
        (b"[NaN]", "the number NaN"),
        (b"[-Infinity]", "the number -Infinity"),
        (b"[1e999]", "the number inf"),
        (b"[" + b"9" * 5000 + b"]", "400 digits"),
        (b"[" + b"9" * 21 + b"]", "20 digits"),
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (rb'["\ud800"]', "surrogates"),
        (rb'{"\udfff": 1}', "surrogates"),
        (b"[" + b"{}," * 1_000_001 + b"1]", "1,000,000 objects"),
        (b"[" + b"1," * 4_000_001 + b"1]", "4,000,000 values"),
    ],
)
def test_what_is_no_plain_json_is_refused(text, fault):
    with pytest.raises(DataError, match=fault) as caught:
        parse_json(text, REQUEST)
    assert caught.value.asked == "read the file"
    assert caught.value.remedy == "Mend it"


@pytest.mark.parametrize("text", ["[]", "5", "null", '"text"'])
def test_an_object_is_one(text):
    with pytest.raises(DataError, match="where an object belongs"):
        parse_object(text, REQUEST)


def test_limits_are_the_callers():
    limits = DocumentLimits(size=20, depth=1, values=3, digits=3)
    assert parse_json("[100]", REQUEST, limits) == [100]
    for text in ("[[[]]]", "[1,2,3,4]", "[1000]", " " * 21):
        with pytest.raises(DataError):
            parse_json(text, REQUEST, limits)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"a = ", "Invalid"),
        (b"a = 1\na = 2", "overwrite"),
        (b"a = " + b"[" * 5000, "TOML"),
        (b"a" + b".a" * 50_000 + b" = 1", "32 parts"),
        (b'"a"' + b" . 'a b'" * 50_000 + b" = 1", "32 parts"),
        (b"a = nan", "the number nan"),
        (b"a = 0x" + b"f" * 300, "20 digits"),
        (b"a = " + b"9" * 5000, "400 digits"),
        (b"\xff", "decode"),
        (b"#" * (1 << 20) + b"#", "more than"),
    ],
)
def test_what_is_no_plain_toml_is_refused(tmp_path, text, fault):
    path = tmp_path / "file.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=fault):
        read_toml(path, Request("read the recipe", "Mend it", ConfigError))


def test_toml_of_long_lists_is_read():
    numbers = ", ".join(f"{number}.5" for number in range(2000))
    assert len(read_toml(f"a.b.c = [{numbers}]".encode(), REQUEST)["a"]["b"]["c"]) == 2000
