"""Which cell of a row is which column: by the number of cells, or by the names in a header line."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from juggler.data.records import Schema
from juggler.errors import DataError

CONTEXT = ("time", "src_ip", "src_port", "dst_ip", "dst_port")
"""What a row may say of a connection besides its features: it goes into the alert, unseen by the network."""

_ALIASES = {
    "attack": "attack class label labels target outcome attack_type attack_name attack_cat",
    "difficulty": "difficulty difficulty_level difficult_level level last_flag",
    "time": "time timestamp ts stamp start_time starttime first_seen end_time",
    "src_ip": "src_ip srcip source_ip src_addr source_address saddr ip_src id_orig_h orig_h source src",
    "src_port": "src_port srcport source_port sport port_src id_orig_p orig_p",
    "dst_ip": "dst_ip dstip dest_ip destination_ip dst_addr dest_addr destination_address daddr ip_dst "
    "id_resp_h resp_h destination dest dst",
    "dst_port": "dst_port dstport dest_port destination_port dport dsport port_dst id_resp_p resp_p",
}
_MEANING = {alias: meaning for meaning, aliases in _ALIASES.items() for alias in aliases.split()}


@dataclass(frozen=True)
class Layout:
    """Where a row of so many cells holds what; None where it does not.

    Attributes:
        width: cells in a row.
        numeric_at: position of each numeric column of the schema.
        categorical_at: position of each categorical column.
        attack_at: position of the attack name.
        difficulty_at: position of one more number, which is checked and passed over.
        index_marks: of a row behind an index column, a position that a number fills and one that none
            fills; without an index column a word and a number would stand there.
        context_at: positions of what goes into the alert.
    """

    width: int
    numeric_at: tuple[int | None, ...]
    categorical_at: tuple[int | None, ...]
    attack_at: int | None = None
    difficulty_at: int | None = None
    index_marks: tuple[int, int] | None = None
    context_at: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: Schema, width: int, places: Mapping[str, int], **others: Any) -> Self:
        """Return the layout of a row that holds the columns at these places."""
        numeric = tuple(places.get(name) for name in schema.numeric)
        return cls(width, numeric, tuple(places.get(name) for name in schema.categorical), **others)

    @cached_property
    def numbers(self) -> tuple[list[int], list[int]]:
        """Return the numeric columns that are there, by their index in the schema, and their positions."""
        pairs = [(i, at) for i, at in enumerate(self.numeric_at) if at is not None]
        return [i for i, _ in pairs], [at for _, at in pairs]


def widths(schema: Schema) -> tuple[int, int, int]:
    """Return the column counts of a whole row: features, with attack name, with difficulty as well."""
    n = len(schema.columns)
    return n, n + 1, n + 2


def layouts_without_header(schema: Schema, needed: Collection[str]) -> dict[int, tuple[Layout, ...]]:
    """Return the layouts that a row may have where no header says so, by its number of cells.

    Those are the columns in the schema's order, alone, with the attack name, with the difficulty too; each
    also behind an index column; and the columns that packet headers supply, if no others are needed.
    """
    n, few, marks = len(schema.columns), len(schema.header_features), _index_marks(schema)
    layouts = [_in_order(schema, schema.all_features, 0, extra) for extra in range(3)]
    if marks is not None:
        layouts += [_in_order(schema, schema.all_features, 1, extra, marks) for extra in range(3)]
    if few < n and {*needed} <= {*schema.header_features}:
        layouts += [_in_order(schema, schema.header_features, 0, extra) for extra in range(2)]
    by_width: dict[int, tuple[Layout, ...]] = {}
    for layout in layouts:
        by_width[layout.width] = (*by_width.get(layout.width, ()), layout)
    return by_width


def _index_marks(schema: Schema) -> tuple[int, int] | None:
    """Return the positions of the first word and of the first number after it, less if a word comes first."""
    kinds = [column.kind for column in schema.columns]
    if "categorical" not in kinds or kinds[0] == "categorical":
        return None
    word = kinds.index("categorical")
    return (word, kinds.index("numeric", word)) if "numeric" in kinds[word:] else None


def _in_order(
    schema: Schema, names: Sequence[str], shift: int, extra: int, marks: tuple[int, int] | None = None
) -> Layout:
    n = len(names) + shift
    return Layout.of(
        schema,
        n + extra,
        {name: i + shift for i, name in enumerate(names)},
        attack_at=n if extra else None,
        difficulty_at=n + 1 if extra > 1 else None,
        index_marks=marks,
    )


def plain_name(cell: str) -> str:
    """Return a column's name as the schemas spell theirs: `Dst Host-Count ` is `dst_host_count`."""
    return re.sub(r"[^a-z0-9]+", "_", cell.lower()).strip("_")


def is_header(cells: Sequence[str], needed: Collection[str]) -> bool:
    """Say whether a line names columns: half of those that are needed, or more."""
    names = {plain_name(cell) for cell in cells}
    return 2 * len(names & {*needed}) >= len(needed) > 0


def layout_of_header(cells: Sequence[str], schema: Schema, needed: Collection[str]) -> Layout:
    """Return the layout that a header line describes; columns that it does not know are passed over.

    Raises:
        DataError: a column that is needed is missing, or one is named twice.
    """
    places: dict[str, int] = {}
    for position, cell in enumerate(cells):
        name = plain_name(cell)
        name = name if name in schema.column else _MEANING.get(name, "")
        if name in places and name not in CONTEXT:
            raise DataError("map columns by their header", f"two columns named {name}", "Drop one of them")
        if name:
            places.setdefault(name, position)
    missing = [name for name in schema.all_features if name in needed and name not in places]
    if missing:
        listed = ", ".join(missing[:8]) + (", ..." if len(missing) > 8 else "")
        raise DataError(
            "map columns by their header",
            f"a header row of {len(cells)} columns without {listed}",
            f"Add what is missing: {len({*needed})} columns are needed, see `docs/how-to/detect.md`",
        )
    return Layout.of(
        schema,
        len(cells),
        places,
        attack_at=places.get("attack"),
        context_at={name: places[name] for name in CONTEXT if name in places},
    )
