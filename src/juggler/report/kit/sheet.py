"""A table of text cells, laid out once: the terminal and the page then show the same figures."""

from __future__ import annotations

from dataclasses import dataclass


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

    def row_style(self, row: int) -> str:
        """Return the style of a row, empty where there is none."""
        return self.row_styles[row] if row < len(self.row_styles) else ""


def text_columns(*names: str) -> tuple[Column, ...]:
    """Return columns of text, each by its name."""
    return tuple(Column(name, numeric=False) for name in names)
