import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from juggler.data import SCHEMAS, BadRow, Records, parse_block, parse_line, read
from juggler.data.parse import MAX_LINE_BYTES, blocks
from juggler.data.rows import first_width
from juggler.errors import DataError

SCHEMA = SCHEMAS.get("nsl_kdd")
GOOD = b"0,tcp,http,SF,181,5450,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,8,8,0.00,0.00,0.00,0.00,1.00,0.00,0.00,9,9,1.00,0.00,0.11,0.00,0.00,0.00,0.00,0.00"  # noqa: E501


def row(labels=b",normal,21", **changes):
    tokens = GOOD.split(b",")
    for name, token in changes.items():
        tokens[SCHEMA.all_features.index(name)] = token
    return b",".join(tokens) + labels


def same(records, others):
    assert len(records) == len(others)
    if not others:
        return
    np.testing.assert_array_equal(records.numbers, np.concatenate([o.numbers for o in others], axis=1))
    np.testing.assert_array_equal(records.codes, np.concatenate([o.codes for o in others], axis=1))
    np.testing.assert_array_equal(records.lines, np.concatenate([o.lines for o in others]))
    if records.attacks is None:
        assert all(o.attacks is None for o in others)
    else:
        assert records.attacks.tolist() == [name for o in others for name in o.attacks]


numbers = st.one_of(
    st.sampled_from(
        [
            "0",
            "1",
            "0.5",
            "1.00",
            "5.",
            ".5",
            ".",
            "1e3",
            "1e-400",
            "1e400",
            "1.e1",
            "-0",
            "-1",
            "+1",
            "1_0",
            "nan",
            "inf",
            "-inf",
            "Infinity",
            "0x1",
            "1e+5",
            "1,2",
            "1e",
            "00012",
            "NULL",
            "NA",
            "#",
            "null",
            "1.5e-3",
            "12345678901234567890",
            "\u0661",
            "1.7976931348623157e308",
            "\ufeff0",
            "0\r",
            "true",
        ]
    ),
    st.sampled_from(["", " ", " 1", "1 ", "\t1\t", "1\x0b", '"1"', "1\0", "1 2", "\u00a01"]),
    st.floats(0, 1e12).map(repr),
)
words = st.one_of(
    st.sampled_from(["tcp", "udp", " tcp", "tcp ", "", "modbus", '"tcp"', "SF", "é", "a\0b", "\r"])
)
odd_lines = st.one_of(
    st.sampled_from([b"", b" ", b"\r", b"x", b"\xff\xfe", row(b""), row(b",normal"), row(b",neptune,x")]),
    st.sampled_from([row(b",smurf,nan"), row(b",smurf,-1"), row(b", smurf ,1"), row(b",a,1,2")]),
    st.sampled_from([row(b",\xff,1"), row(b",,1")]),
    st.binary(max_size=60).filter(lambda line: b"\n" not in line),
    st.builds(lambda v: row(duration=v.encode()), numbers),
    st.builds(lambda v: row(serror_rate=v.encode()), numbers),
    st.builds(lambda v: row(protocol_type=v.encode()), words),
    st.just(row(duration=b"0" * (MAX_LINE_BYTES + 1))),
    st.just(b"\xef\xbb\xbf" + row()),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    width=st.sampled_from([b"", b",normal", b",normal,21"]),
    odd=st.lists(st.tuples(st.integers(0, 79), odd_lines), max_size=4),
    ends=st.sampled_from([b"\n", b"\r\n"]),
    closed=st.booleans(),
)
@example(width=b",normal,21", odd=[(0, b"\xef\xbb\xbf" + row())], ends=b"\n", closed=True)
@example(width=b",normal,21", odd=[(70, row(b",smurf,nan"))], ends=b"\r\n", closed=False)
def test_block_and_line_give_the_same(width, odd, ends, closed):
    lines = [row(width, duration=str(i).encode()) for i in range(80)]
    for at, line in odd:
        lines[at] = line
    block = ends.join(lines) + (ends if closed else b"")
    records, bad = parse_block(block, SCHEMA, first_line=5)
    split = block.split(b"\n")[: -1 if block.endswith(b"\n") else None]
    one_by_one = [parse_line(line, SCHEMA, 5 + i, first_width(block, SCHEMA)) for i, line in enumerate(split)]
    assert bad == [found for found in one_by_one if isinstance(found, BadRow)]
    same(records, [found for found in one_by_one if isinstance(found, Records)])


def test_a_plain_block_is_read_whole_in_every_width():
    for width, attacks in ((b"", None), (b",normal", ["normal"] * 100), (b",smurf,3", ["smurf"] * 100)):
        records, bad = parse_block((row(width) + b"\n") * 100, SCHEMA)
        assert not bad and len(records) == 100
        assert (records.attacks.tolist() if records.attacks is not None else None) == attacks
        assert records["dst_bytes"].tolist() == [5450.0] * 100
        assert records["src_bytes"].dtype == np.float64 and records["flag"].dtype == np.int16


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (row(b",normal,21,4"), "expected 41, 42 or 43 columns, found 44"),
        (b"a,b", "found 2"),
        (b"", "found an empty line"),
        (row(src_bytes=b"many"), "expected a finite number as src_bytes, found 'many'"),
        (row(src_bytes=b"nan"), "expected a finite number as src_bytes, found 'nan'"),
        (row(src_bytes=b"inf"), "finite number as src_bytes"),
        (row(src_bytes=b""), "finite number as src_bytes, found ''"),
        (row(src_bytes=b"1e999"), "expected 0 or more, and finite as src_bytes, found '1e999'"),
        (row(src_bytes=b"-3"), "expected 0 or more, and finite as src_bytes, found '-3'"),
        (row(rerror_rate=b"1.01"), "expected 0 to 1 as rerror_rate, found '1.01'"),
        (row(b",normal,hard"), "expected a number as the difficulty, found 'hard'"),
        (row(b",,21"), "expected an attack name"),
        (b"\xff" + row(), "expected UTF-8 text, found byte 0xff"),
        (b"0," * MAX_LINE_BYTES, f"expected at most {MAX_LINE_BYTES} bytes"),
    ],
)
def test_a_bad_row_says_what_was_expected(line, reason):
    found = parse_line(line, SCHEMA, 7)
    assert isinstance(found, BadRow)
    assert found.line == 7 and reason in found.reason and len(found.text) <= 200
    records, bad = parse_block((row() + b"\n") * 60 + line + b"\n" + (row() + b"\n") * 60, SCHEMA)
    assert len(records) == 120 and [b.line for b in bad] == [61]


def test_unknown_words_are_counted_and_not_bad():
    records, bad = parse_block((row() + b"\n") * 40 + row(service=b"modbus", flag=b"XX") + b"\n", SCHEMA)
    assert not bad and records.unknown() == {"service": 1, "flag": 1}
    assert records["service"][-1] == -1 and records.words("service")[-1] == "unknown"
    assert records.words("service")[0] == "http"


def test_a_str_and_a_line_end_are_accepted():
    found = parse_line(row().decode() + "\r\n", SCHEMA)
    assert isinstance(found, Records) and found.labels().tolist() == ["normal"]


class Trickle(io.RawIOBase):
    def __init__(self, data, step):
        self.data, self.step = data, step

    def read(self, size=-1):
        piece, self.data = self.data[: self.step], self.data[self.step :]
        return piece


@pytest.mark.parametrize("step", [1, 7, 4096, 10**6])
def test_a_stream_gives_the_same_however_it_comes(step):
    huge = b"9" * (3 * MAX_LINE_BYTES)
    whole = (row() + b"\n") * 30 + b"oops\n" + huge + b"\n" + (row() + b"\n") * 5 + row()[:-30]
    step = max(step, 40) if step == 1 else step
    got = list(blocks(Trickle(b"\xef\xbb\xbf" + whole, step), SCHEMA))
    assert [int(n) for records, _ in got for n in records.lines] == [*range(1, 31), *range(33, 38)]
    bad = [b for _, wrong in got for b in wrong]
    assert [b.line for b in bad] == [31, 32, 38]
    assert "at most" in bad[1].reason and "the file ends within this line" in bad[2].reason


def test_a_file_is_read_with_its_lines_and_digest(tmp_path):
    file = tmp_path / "records.csv"
    file.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join([row(), row(b",neptune,3"), row()]))
    records = read(file, SCHEMA)
    assert records.lines.tolist() == [1, 2, 3] and records.classes().tolist() == [0, 1, 0]
    assert records.source == str(file) and len(records.sha256) == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (b"PAR1" + bytes(50), "a Parquet file"),
        (b"PK\x03\x04" + bytes(50), "a zip archive"),
        (b"\xd4\xc3\xb2\xa1" + bytes(50), "a packet capture"),
        (b"abc\0\1\2", "binary"),
        (row().decode().encode("utf-16"), "UTF-16"),
        (row().decode().encode("utf-16-le"), "UTF-16"),
        (b"@RELATION KDD\n", "an ARFF file"),
        (",".join(SCHEMA.all_features).encode() + b"\n", "line 1: it is a header row"),
        (b"Destination Port," * 78 + b"Label\n1,2\n", "a header row of 79 columns"),
        (b"1," * 78 + b"2\n", "line 1: it has 79 columns: a file of another data set?"),
        (row() + b"\n" + row(duration=b"nan") + b"\n\n", "line 2: expected a finite number as duration"),
        (row() + b"\n" + row(duration=b"nan") + b"\n\n", "1 other bad rows follow"),
        (row() + b"\n" + row(b",normal"), "line 2: expected 43 columns .*, found 42; the file ends within"),
        (row() + b"\n" + row(b",slowloris,1") + b"\n", "line 2: 1 lines with attack names .*: 'slowloris'"),
        (row() + b"\n" + b"1" * 100_000, "line 2: expected at most 16384 bytes"),
    ],
)  # fmt: skip
def test_another_file_is_refused_by_name_and_line(tmp_path, content, message):
    file = tmp_path / "other.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read(file, SCHEMA)
    assert str(file) in str(error.value)


def test_unknown_attacks_are_kept_where_asked(tmp_path):
    file = tmp_path / "new.csv"
    file.write_bytes(row() + b"\n" + row(b",slowloris,1") + b"\n")
    records = read(file, SCHEMA, strict=False)
    assert records.labels().tolist() == ["normal", "slowloris"]
    with pytest.raises(DataError, match="line 2: 1 lines with attack names"):
        records.classes()


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none.csv", SCHEMA)
    with pytest.raises(DataError, match="it is a folder"):
        read(tmp_path, SCHEMA)
