"""A table of text cells, laid out once: the terminal and the page then show the same figures."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from juggler.display import printable


@dataclass(frozen=True)
class Column:
    """A column's header and the unit of its cells; numbers stand to the right."""

    name: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Sheet:
    """A table of text cells; `row_styles` says of each row whether it is `good`, `bad` or neither."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    row_styles: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        # Names out of files stand in the cells: neither a terminal nor a page may obey them.
        rows = tuple(tuple(printable(cell, keep="\n") for cell in row) for row in self.rows)
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "note", printable(self.note, keep="\n"))
        object.__setattr__(self, "title", printable(self.title, keep="\n"))

    def row_style(self, row: int) -> str:
        """Return the style of a row, empty where there is none."""
        return self.row_styles[row] if row < len(self.row_styles) else ""


def text_columns(*names: str) -> tuple[Column, ...]:
    """Return columns of text, each by its name."""
    return tuple(Column(name, numeric=False) for name in names)


CLOSE_FROM_COLUMNS = 8


_STYLES = {"good": "green", "bad": "bold red", "": ""}


def sheet_table(sheet: Sheet) -> Table:
    """Turn text cells into a rich table; cells are plain text, so markup inside a name has no effect."""
    close = len(sheet.columns) > CLOSE_FROM_COLUMNS
    table = Table(
        title=Text(sheet.title),
        caption=Text(sheet.note) if sheet.note else None,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        caption_style="dim",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        # Wide tables stand closer, so that they fit a terminal of 80 columns.
        padding=(0, 0) if close else (0, 1, 0, 0),
    )
    for index, column in enumerate(sheet.columns):
        # Numbers are never broken; their headers are, one word a line, to be as narrow as they can.
        header = "\n".join([*column.name.split(), column.unit]).strip() if column.numeric else column.name
        table.add_column(
            Text(header),
            justify="right" if column.numeric else "left",
            vertical="top",
            no_wrap=column.numeric,
            overflow="fold",
            # A backend's name in one piece, where that costs little.
            min_width=None if column.numeric or len(sheet.columns) > 9 else min(11, _longest(sheet, index)),
        )
    for number, row in enumerate(sheet.rows):
        table.add_row(*map(Text, row), style=_STYLES[sheet.row_style(number)])
    return table


def _longest(sheet: Sheet, index: int) -> int:
    return max((len(row[index]) for row in sheet.rows), default=0)
