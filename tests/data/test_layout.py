"""Which cell is which column, and what an input is that has none of them."""

from __future__ import annotations

import pytest

from juggler.data import SCHEMAS, Schema
from juggler.data.kinds import refuse_other_kinds
from juggler.data.layout import layout_of_header, layouts_without_header, plain_name
from juggler.data.records import Column
from juggler.errors import DataError

SCHEMA = SCHEMAS.get("nsl_kdd")
PLANT = Schema(  # a word first: behind an index column nothing tells it from the rest of a row
    "plant",
    1,
    (Column("service", "categorical", ("modbus",)), Column("bytes", "numeric"), Column("rate", "numeric")),
    ("service", "bytes"),
    ("normal", "dos"),
    {"normal": "normal", "flood": "dos"},
)


def test_the_layouts_of_a_schema_by_their_number_of_cells() -> None:
    assert {
        width: len(each) for width, each in layouts_without_header(SCHEMA, SCHEMA.all_features).items()
    } == {
        41: 1,
        42: 2,  # with an attack name, or behind an index
        43: 2,
        44: 1,
    }
    assert {*layouts_without_header(SCHEMA, SCHEMA.header_features)} == {28, 29, 41, 42, 43, 44}
    assert {width: len(each) for width, each in layouts_without_header(PLANT, ("bytes",)).items()} == {
        2: 1,
        3: 2,
        4: 1,
        5: 1,
    }


def test_names_are_compared_without_their_dress() -> None:
    assert [plain_name(name) for name in (" Dst Host-Count ", "id.orig_h", "\ufeffDuration", "")] == [
        "dst_host_count",
        "id_orig_h",
        "duration",
        "",
    ]


def test_a_header_says_where_the_columns_are() -> None:
    layout = layout_of_header(["id.orig_h", "Rate", "spare", "Bytes", "Label"], PLANT, ("bytes",))
    assert (layout.numeric_at, layout.categorical_at, layout.attack_at) == ((3, 1), (None,), 4)
    assert layout.context_at == {"src_ip": 0} and layout.numbers == ([0, 1], [3, 1])
    with pytest.raises(DataError, match="a header row of 1 columns without bytes"):
        layout_of_header(["service"], PLANT, ("service", "bytes"))


@pytest.mark.parametrize("head", [b"", b"3,4.00,0.1\n", b"0.00,normal,21\n0,tcp\n", b"x", b"\n\n", b"#\n"])
def test_what_may_be_a_piece_of_a_row_is_let_through(head: bytes) -> None:
    refuse_other_kinds(head, SCHEMA, "a stream")


def test_lines_that_agree_on_a_wrong_number_of_cells_are_refused() -> None:
    with pytest.raises(DataError, match="it has 5 columns"):
        refuse_other_kinds(b"1,2,3,4,5\n" * 2, SCHEMA, "a stream")
    refuse_other_kinds(b"1,2,3,4,5\n1,2,3\n", SCHEMA, "a stream")
