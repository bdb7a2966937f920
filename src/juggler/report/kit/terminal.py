"""Show a table of text cells in a terminal; needs rich alone."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from juggler.report.kit.sheet import Sheet

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
