"""Pickles are written here by Python's own pickle and read back without unpickling."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler.errors import DataError
from juggler.reading import pickles
from juggler.reading.pickles import array_of, read_pickle
from made_pictures import is_a_real_pickle, python2

ARRAY = np.arange(6000, dtype=np.uint8).reshape(-1, 60)
PLAIN = {
    "labels": [0, 1, 255, 256, 70_000, -3, 2**40],
    "names": ["cat", "dög", "x" * 300],
    "nothing": None,
    "truth": [True, False],
    "pairs": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "bytes": b"\x00\xff",
    "more": {"empty": [], "none": {}},
}


class Evil:
    """Would write a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "it ran")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_and_arrays_of_every_protocol_are_read(protocol):
    fortran = np.asfortranarray(ARRAY)
    arrays = {
        "data": ARRAY,
        "again": ARRAY,
        "fortran": fortran,
        "wide": ARRAY.astype(">i4"),
    }
    content = pickle.dumps(PLAIN | arrays, protocol=protocol)
    found = read_pickle(content, "a test")
    assert {name: found[name] for name in PLAIN} == PLAIN
    for name, array in arrays.items():
        np.testing.assert_array_equal(array_of(found[name], "a test"), array)
        assert array_of(found[name], "a test").dtype == array.dtype


def test_pickles_of_python_2_are_read():
    value = {
        "data": ARRAY,
        "labels": [*range(300)],
        "batch_label": "training batch 1 of 5",
        "long": "y" * 1000,
    }
    content = python2(value)
    real = is_a_real_pickle(content)
    np.testing.assert_array_equal(real.pop("data"), ARRAY)
    found = read_pickle(content, "a test")
    np.testing.assert_array_equal(array_of(found.pop("data"), "a test"), ARRAY)
    assert found == real == {name: value[name] for name in found}


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_what_would_run_is_refused_and_not_run(tmp_path, protocol):
    target = tmp_path / "written"
    for value in ({"data": Evil(target)}, Evil(target), {"labels": [Evil(target)]}):
        with pytest.raises(DataError, match="nothing is unpickled"):
            read_pickle(pickle.dumps(value, protocol=protocol), "a test")
        assert not target.exists()
    pickle.loads(pickle.dumps(Evil(target)))  # noqa: S301  # the attack is real
    assert target.read_text() == "it ran"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"\x80\x02cos\nsystem\nU\x04true\x85R.", "the name os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "the name os.system"),
        (b"\x80\x02cnumpy\nload\nU\x01x\x85R.", "the name numpy.load"),
        (b"(ios\nsystem\nU\x04true.", "the opcode INST"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "the opcode NEWOBJ"),
        (b"Pname\n.", "the opcode PERSID"),
        (b"\x80\x02\x82\x01.", "the opcode EXT1"),
        (b"\x80\x05\x97.", "the opcode NEXT_BUFFER"),
        (b"\x80\x02K\x01K\x02\x85R.", "call number 1, of a int"),
        (b"\x80\x02]K\x01b.", "a state for a list"),
        (b"\x80\x02}K\x01K\x02s.", "a int as a key"),
        (b"\x80\x02}]K\x02s.", "a list as a key"),
        (b"\x80\x02}(U\x01au.", "keys set in a dict"),
        (b"\x80\x02}K\x01a.", "values appended to a dict"),
        (b"\x80\x02]K\x01a.", "a list where a dictionary belongs"),
        (b"\x80\x02}}.", "more than one value"),
        (b"\x80\x02(}.", "more than one value"),
        (b"\x80\x02h\x05.", "no whole pickle"),
        (b"\x80\x02}", "no whole pickle"),
        (b"\x80\x02\x85.", "fewer values"),
        (b"\x80\x02.", "no whole pickle"),
        (b"", "no whole pickle"),
        (b"\x89PNG\r\n", "the opcode PERSID"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "no whole pickle"),
        (b"\x80\x02c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xac\x8c\x05latin\x86R.", "another way"),
    ],
)
def test_anything_else_is_refused_by_its_name(program, message):
    with pytest.raises(DataError, match=message):
        read_pickle(program, "a test")


def test_a_small_file_cannot_grow_into_a_large_one():
    text = b"X" + (10_000).to_bytes(4, "little") + b"a" * 10_000
    again = b"h\x01h\x02h\x03\x86R"
    program = b"\x80\x02}U\x01d(c_codecs\nencode\nq\x01" + text + b"q\x02X\x06\x00\x00\x00latin1q\x03\x86R"
    with pytest.raises(DataError, match="the same bytes over and over"):
        read_pickle(program + again * 1000 + b"ts.", "a test")


def test_text_that_repeats_itself_is_never_written_out():
    laughs = b"U\x02ha" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
    for program in (
        b"\x80\x02}" + laughs + b"K\x01s.",
        b"\x80\x04" + laughs + laughs + b"\x93.",
        b"\x80\x02}U\x04data" + laughs + b"s.",
    ):
        with pytest.raises(DataError):
            array_of(read_pickle(program, "a test").get("data"), "a test")


def array_program(**changes):
    """Return what `array_of` takes, with something else in one place."""
    parts = {"shape": (2, 3), "code": "u1", "order": "|", "raw": b"\0" * 6} | changes
    element = pickles._Made("dtype", (parts["code"], False, True), (3, parts["order"], None))
    made = pickles._Made("array", (), (1, parts["shape"], element, False, parts["raw"]))
    if "what" in changes:
        made.what = changes["what"]
    return made


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (2, 4)},
        {"shape": (-2, -3)},
        {"shape": [2, 3]},
        {"shape": (2.0, 3)},
        {"shape": (1 << 62, 1 << 62)},
        {"shape": (1, 1, 1, 2, 3)},
        {"code": "O"},
        {"code": "f4"},
        {"code": "u1,u1"},
        {"code": ("u1",)},
        {"order": "x"},
        {"order": 7},
        {"raw": 10**15},
        {"raw": "\u20ac" * 6},
        {"raw": [0] * 6},
        {"what": "dtype"},
        {"what": "buffer"},
    ],
)
def test_arrays_that_make_no_sense_are_refused(changes):
    with pytest.raises(DataError, match="nothing is unpickled"):
        array_of(array_program(**changes), "a test")
    assert array_of(array_program(), "a test").tolist() == [[0, 0, 0], [0, 0, 0]]


def imported():
    return {name for name in sys.modules if not name.startswith("encodings.")}  # codecs of plain text


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_pickles_are_read_or_refused_and_import_nothing(data):
    content = bytearray(python2({"data": ARRAY[:2, :8], "labels": [1, 2]}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    before = imported()
    try:
        found = read_pickle(bytes(content), "a test")
        array_of(found.get("data"), "a test")
    except DataError as error:
        assert "a test" in str(error)
    assert imported() == before


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        (b"\x80\x04" + b"(" * 100_000, "64 marks within each other"),
        (b"\x80\x04" + b"]" * 2_100_000 + b".", "2,000,000 steps"),
        (b"\x80\x04" + b"N\x85" * 1_050_000, "2,000,000 steps"),
    ],
)
def test_a_program_is_short_and_flat(program, fault):
    with pytest.raises(DataError, match=fault):
        read_pickle(program, "a test")
