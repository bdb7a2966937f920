"""Records written as CSV read back the same, by the block and by the line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from juggler.data import SCHEMAS, Records, load_set, parse_block, parse_line, read
from juggler.data.format import to_csv
from juggler.errors import DataError

SCHEMA = SCHEMAS.get("nsl_kdd")
EDGES = [
    0.0,
    1.0,
    0.1,
    1 / 3,
    2.0**53 - 1,
    2.0**53,
    2.0**53 + 2,
    5e-324,
    1.7976931348623157e308,
    1e22,
    123456.789,
]


def make(numbers: np.ndarray, codes: np.ndarray, attacks: list[str] | None) -> Records:
    upper = np.minimum(SCHEMA.upper, np.finfo(np.float64).max)
    names = None if attacks is None else np.array(attacks, dtype=object)
    lines = np.arange(1, numbers.shape[1] + 1)
    return Records(SCHEMA, np.minimum(numbers, upper), codes.astype(np.int16), names, lines)


def assert_reads_back(records: Records) -> None:
    data = to_csv(records)
    assert data.count(b"\n") == len(records)
    found, bad = parse_block(data, SCHEMA)
    assert bad == []
    np.testing.assert_array_equal(found.numbers, records.numbers)
    np.testing.assert_array_equal(found.codes, records.codes)
    assert (found.attacks is None) == (records.attacks is None)
    if records.attacks is not None:
        assert found.labels().tolist() == records.attacks.tolist()
    assert to_csv(found) == data


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_synthetic_set_reads_back(part: str) -> None:
    assert_reads_back(load_set("synthetic").load(part))


def test_edge_values_read_back() -> None:
    rows = len(EDGES)
    numbers = np.tile(np.array(EDGES), (len(SCHEMA.numeric), 1))
    codes = np.stack(
        [np.arange(rows) % (len(SCHEMA.column[c].vocabulary) + 1) - 1 for c in SCHEMA.categorical]
    )
    assert_reads_back(make(numbers, codes, ["normal"] * rows))
    assert_reads_back(make(numbers, codes, None))
    assert (codes == -1).any(), "unknown words stay unknown"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_records_read_back(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 40), label="rows")
    values = st.one_of(
        st.integers(0, 2**60).map(float),
        st.floats(0, 1),
        st.floats(0, allow_nan=False, allow_infinity=False),
    )
    numbers = data.draw(arrays.arrays(np.float64, (len(SCHEMA.numeric), rows), elements=values))
    codes = np.stack(
        [
            data.draw(
                arrays.arrays(np.int16, rows, elements=st.integers(-1, len(SCHEMA.column[c].vocabulary) - 1))
            )
            for c in SCHEMA.categorical
        ]
    )
    names = st.sampled_from(sorted(SCHEMA.attack_classes))
    attacks = data.draw(st.none() | st.lists(names, min_size=rows, max_size=rows), label="attacks")
    assert_reads_back(make(numbers, codes, attacks))


def test_lines_and_files_read_back_too(tmp_path) -> None:
    records = load_set("synthetic").load("test").take(range(40))
    data = to_csv(records)
    for i, line in enumerate(data.splitlines()):
        one = parse_line(line, SCHEMA)
        assert isinstance(one, Records)
        np.testing.assert_array_equal(one.numbers[:, 0], records.numbers[:, i])
    (tmp_path / "records.csv").write_bytes(data)
    np.testing.assert_array_equal(read(tmp_path / "records.csv", SCHEMA).numbers, records.numbers)


def test_no_records_are_no_lines() -> None:
    assert to_csv(load_set("synthetic").load("test").take([])) == b""


@pytest.mark.parametrize("name", ["a,b", "a\nb", 'a"b', "a\rb"])
def test_a_name_that_is_no_word_of_csv_is_refused(name: str) -> None:
    records = load_set("synthetic").load("test").take([0])
    records.labels()[0] = name
    with pytest.raises(DataError, match="attack name"):
        to_csv(records)
