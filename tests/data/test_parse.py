import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from juggler.data import SCHEMAS, BadRow, Records, parse_block, parse_line, read
from juggler.data.parse import MAX_LINE_BYTES
from juggler.data.rows import RowParser, first_width
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


HEADER = ",".join([*SCHEMA.all_features, "class", "difficulty"]).encode()
FEW = ",".join(["src_ip", *reversed(SCHEMA.header_features)]).encode()
lines_of_any_kind = st.one_of(
    odd_lines,
    st.sampled_from([HEADER, HEADER.upper(), FEW, b"\xef\xbb\xbf" + HEADER, b",".join([b"id", HEADER])]),
    st.sampled_from([row(b""), row(b",normal"), b"7," + row(b""), b"7," + row(), b"\r", b"\t", b"\x0b"]),
    st.sampled_from(
        [row().replace(b"tcp", b'"tcp"'), row().replace(b"8,8", b'"8", "8" '), b'"' + row() + b'"']
    ),
    st.just(b",".join(b'"%s"' % cell for cell in row().split(b","))),
    st.just(b"192.0.2.7," + b",".join(reversed(row(b"").split(b",")[:9] + row(b"").split(b",")[22:]))),
)


def outcome(parser, parts):
    """Return all that a parser has made of parts of an input, as plain values."""
    records, bad, line = [], [], 5
    for part in parts:
        some, wrong = parser.parse(part, line)
        records.append(some)
        bad += wrong
        line += part.count(b"\n")
    records = [some for some in records if len(some)]
    attacks = [None if some.attacks is None else some.attacks.tolist() for some in records]
    return (
        np.concatenate([some.numbers for some in records], axis=1).tolist() if records else [],
        np.concatenate([some.codes for some in records], axis=1).tolist() if records else [],
        [int(line) for some in records for line in some.lines],
        [name for names, some in zip(attacks, records, strict=True) for name in names or [None] * len(some)],
        [text for some in records for text in some.context.get("src_ip", [""] * len(some))],
        bad,
        (parser.blank_lines, parser.header_lines, parser.unknown_words),
    )


@settings(max_examples=120, deadline=None)
@given(
    width=st.sampled_from([b"", b",normal", b",normal,21"]),
    odd=st.lists(st.tuples(st.integers(0, 79), lines_of_any_kind), max_size=6),
    ends=st.sampled_from([b"\n", b"\r\n"]),
    is_closed=st.booleans(),
    cuts=st.lists(st.integers(0, 79), max_size=4),
    with_labels=st.booleans(),
    needed=st.sampled_from([(), SCHEMA.header_features]),
)
@example(b",normal,21", [(0, b"\xef\xbb\xbf" + row())], b"\n", True, [], True, ())
@example(b",normal,21", [(70, row(b",smurf,nan"))], b"\r\n", False, [3], True, ())
@example(b",normal,21", [(70, row(duration=b"+10"))], b"\n", False, [69], True, ())
@example(b",normal", [(0, b"7," + row(b""))], b"\n", False, [], True, ())
def test_lines_are_the_same_however_they_are_cut(width, odd, ends, is_closed, cuts, with_labels, needed):  # noqa: PLR0917
    lines = [row(width, duration=str(i).encode()) for i in range(80)]
    for at, line in odd:
        lines[at] = line
    data = ends.join(lines) + (ends if is_closed else b"")
    split = [line + b"\n" for line in data.split(b"\n")]
    split[-1:] = [split[-1][:-1]] if split[-1] != b"\n" else []
    blocks = [b"".join(split[a:b]) for a, b in itertools.pairwise([0, *sorted(cuts), len(split)])]
    # A block of one line never goes through Arrow: line by line is what the others are compared with.
    by_line, by_block = (RowParser(SCHEMA, needed=needed, with_labels=with_labels) for _ in range(2))
    assert repr(outcome(by_block, blocks)) == repr(outcome(by_line, split))


@pytest.mark.parametrize("token", [b"+10", b"10", b"+1e1", b"10.", b"+10.0e0"])
def test_a_sign_is_part_of_a_number_in_both_ways(token):
    alone = parse_line(row(count=token), SCHEMA)
    block, bad = parse_block((row(count=token) + b"\n") * 60, SCHEMA)
    assert not bad and alone["count"][0] == 10 and (block["count"] == 10).all()


def test_both_ways_take_the_same_numbers():
    """Every token of up to three of these characters, in rows enough for Arrow and in one alone."""
    for token in (bytes(token) for n in range(4) for token in itertools.product(b"0.+-e _", repeat=n)):
        line = row(src_bytes=token)
        alone, (block, bad) = (
            parse_line(line, SCHEMA, width=43),
            parse_block((line + b"\n") * 30, SCHEMA, width=43),
        )
        if isinstance(alone, BadRow):
            assert len(bad) == 30, token
        else:
            assert (block["src_bytes"] == float(token)).all() and alone["src_bytes"] == float(token), token


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
        (row(service=b"caf\xe9"), "expected UTF-8 text, found byte 0xe9"),
        (b"0," * MAX_LINE_BYTES, f"expected at most {MAX_LINE_BYTES} bytes"),
    ],
)
def test_a_bad_row_says_what_was_expected(line, reason):
    found = parse_line(line, SCHEMA, 7)
    assert isinstance(found, BadRow)
    assert found.line == 7 and reason in found.reason and len(found.text) <= 200
    records, bad = parse_block((row() + b"\n") * 60 + line + b"\n" + (row() + b"\n") * 60, SCHEMA)
    assert len(records) == 120 and [b.line for b in bad] == ([61] if line else [])


def test_unknown_words_are_counted_and_not_bad():
    records, bad = parse_block((row() + b"\n") * 40 + row(service=b"modbus", flag=b"XX") + b"\n", SCHEMA)
    assert not bad and records.unknown() == {"service": 1, "flag": 1}
    assert records["service"][-1] == -1 and records.words("service")[-1] == "unknown"
    assert records.words("service")[0] == "http"


def test_a_str_and_a_line_end_are_accepted():
    found = parse_line(row().decode() + "\r\n", SCHEMA)
    assert isinstance(found, Records) and found.labels().tolist() == ["normal"]


def test_rows_of_several_widths_are_records_where_they_may_differ():
    lines = [row(b",normal"), *[row()] * 60, row(b""), row()[:-30], row(b",normal,21,1")]
    parser = RowParser(SCHEMA, with_labels=False)
    records, bad = parser.parse(b"\n".join(lines))
    assert len(records) == 62 and records.attacks is None
    assert [(b.line, b.reason) for b in bad] == [
        (63, "expected 41, 42 or 43 columns, found 37"),
        (64, "expected 41, 42 or 43 columns, found 44"),
    ]
    records, bad = RowParser(SCHEMA).parse(b"\n".join(lines))
    assert len(records) == 1 and bad[0].reason == "expected 42 columns as in the rows before, found 43"


def test_the_width_is_learnt_from_a_record_and_not_from_its_beginning_cut_off():
    cut = row().split(b",", 1)[1]  # 42 cells, as many as a row without difficulty has
    assert first_width(cut + b"\n" + row(), SCHEMA) == 43
    records, bad = parse_block(cut + b"\n" + (row() + b"\n") * 100, SCHEMA)
    assert len(records) == 100 and [b.line for b in bad] == [1]


def test_a_header_names_the_columns_in_any_order_and_says_what_more_there_is():
    names = [
        "Time",
        "Src IP",
        "sport",
        *reversed(SCHEMA.header_features),
        "Dst-IP",
        "dport",
        "Label",
        "red",
    ]
    cells = dict(zip(SCHEMA.all_features, row(b"").split(b","), strict=True))
    cells |= {"Time": b"2026-01-01T10:00:00Z", "Src IP": b"192.0.2.1", "sport": b"1024"}
    cells |= {"Dst-IP": b"2001:db8::1", "dport": b"502", "Label": b"smurf", "red": b"1"}
    line = b",".join(cells[name] for name in names) + b"\n"
    data = ",".join(f'"{name}"' for name in names).encode() + b"\n"
    parser = RowParser(SCHEMA, needed=SCHEMA.header_features)
    records, bad = parser.parse(b"\n" + data + line * 50 + data + line)
    plain, _ = parse_block(row(b"") + b"\n", SCHEMA)
    assert not bad and len(records) == 51 and (parser.header_lines, parser.blank_lines) == (2, 1)
    for name in SCHEMA.header_features:
        assert (records[name] == plain[name][0]).all()
    assert np.isnan(records["hot"]).all() and records.labels().tolist() == ["smurf"] * 51
    assert {name: texts[-1] for name, texts in records.context.items()} == {
        "time": "2026-01-01T10:00:00Z",
        "src_ip": "192.0.2.1",
        "src_port": "1024",
        "dst_ip": "2001:db8::1",
        "dst_port": "502",
    }
    assert records.take([0, 3]).context["src_ip"].tolist() == ["192.0.2.1"] * 2


def test_a_header_without_a_needed_column_or_with_one_twice_is_a_bad_row_that_names_it():
    few = ",".join(SCHEMA.header_features).encode()
    found = parse_line(few, SCHEMA)
    assert isinstance(found, BadRow) and "a header row of 28 columns without hot, num_failed" in found.reason
    twice = few + b",flag"
    _, (bad,) = RowParser(SCHEMA, needed=SCHEMA.header_features).parse(twice)
    assert bad.reason == "two columns named flag"


@pytest.mark.parametrize("labels", [b"", b",normal", b",normal,21"])
def test_an_index_column_is_passed_over(labels):
    records, bad = parse_block(b"".join(b"%d,%s\n" % (i, row(labels)) for i in range(40)), SCHEMA)
    plain, _ = parse_block((row(labels) + b"\n") * 40, SCHEMA)
    assert not bad
    np.testing.assert_array_equal(records.numbers, plain.numbers)
    np.testing.assert_array_equal(records.codes, plain.codes)


def test_rows_of_the_header_features_alone_are_records_where_no_others_are_needed():
    cells = row(b"").split(b",")
    few = b",".join(cells[:9] + cells[22:])
    records, bad = RowParser(SCHEMA, needed=SCHEMA.header_features).parse((few + b"\n") * 40)
    assert not bad and records["dst_host_count"].tolist() == [9.0] * 40 and np.isnan(records["hot"]).all()
    _, bad = RowParser(SCHEMA).parse(few)
    assert bad[0].reason == "expected 41, 42 or 43 columns, found 28"


def test_unknown_words_are_noted_by_column():
    parser = RowParser(SCHEMA)
    parser.parse((row(service=b"modbus") + b"\n") * 40 + (row(flag=b"XX") + b"\n") * 3)
    assert parser.unknown_words == {("service", "modbus"): 40, ("flag", "XX"): 3}


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
        (b"PAR1" + bytes(50), "it is a Parquet file. Write its rows as CSV"),
        (b"PK\x03\x04" + bytes(50), "it is a zip archive. Unpack it first"),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "it is an Excel file .xlsx.. Save the sheet"),
        (b"\x1f\x8b\x08" + bytes(50), "it is a gzip file. Unpack it first: gunzip"),
        (b"\xd4\xc3\xb2\xa1" + bytes(50), "it is a packet capture"),
        (b"\x0a\x0d\x0d\x0a" + bytes(50), "it is a packet capture .pcapng."),
        (b"abc\0\1\2", "it is binary"),
        (row().decode().encode("utf-16"), "it is UTF-16 text. Convert it: iconv"),
        (row().decode().encode("utf-16-le"), "it is UTF-16 text"),
        (row().decode().encode("utf-16-be"), "it is UTF-16 text"),
        (b"@RELATION KDD\n", "it is an ARFF file. Cut its header off"),
        (b"% a comment\n@relation KDD\n", "it is an ARFF file"),
        (b"#separator \\x09\n#fields\tts\tuid\n", "it is a Zeek log. Make records"),
        (b'{"ts":1.5,"uid":"C1","id.orig_h":"192.0.2.1"}\n', "it is a Zeek log in JSON"),
        (b'{"timestamp":"2026-01-01","event_type":"flow"}\n', "it is EVE JSON of Suricata. Make records"),
        (b'[{"a": 1}]\n', "it is JSON"),
        (b"<?xml version='1.0'?>\n", "it is XML or HTML"),
        (row().replace(b",", b";") + b"\n", "semicolons between its cells. Convert it: .* tr ';' ','"),
        (row().replace(b",", b";").replace(b".", b",") + b"\n", "semicolons .*, and commas in its numbers"),
        (row().replace(b",", b"\t") + b"\n", r"tabs between its cells. Convert it: .* tr '\\t' ','"),
        ((row() + b"\r") * 3, "text whose lines end in CR alone. Convert it: tr"),
        (b"Flow ID, Src IP, Dst IP, Protocol, Flow Duration, Label\n", "it is a table of CICFlowMeter"),
        (b"id,dur,proto,service,state,spkts,attack_cat,label\n", "it is a table of UNSW-NB15 of 8 columns"),
        (b"0.1,udp,-,INT" + b",1" * 39 + b"\n", "it is a table of UNSW-NB15 of 43 columns"),
        (b"192.0.2.1,13,192.0.2.2,53,udp,CON" + b",1" * 43 + b"\n", "a table of UNSW-NB15 of 49 columns"),
        (",".join(SCHEMA.all_features[1:]).encode() + b"\n", "line 1: a header row of 40 columns without d"),
        (",".join(SCHEMA.all_features).encode() + b"\n", "2 lines, and no record in them"),
        (b"Destination Port," * 78 + b"Label\n1,2\n", "a header row of 79 columns"),
        (b"1," * 78 + b"2\n", "line 1: it has 79 columns: a file of another data set?"),
        (row() + b"\n" + row(duration=b"nan") + b"\n\n", "line 2: expected a finite number as duration"),
        (row() + b"\n" + row(duration=b"nan") + b"\nx\n", "1 other bad rows follow"),
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
