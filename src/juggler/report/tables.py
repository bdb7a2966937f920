"""Show the report's tables in a terminal; needs rich alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from juggler.nouns import Alert, Certificate, Decision, Refusal, Rewrite, Timing
from juggler.report import sheets
from juggler.report.attribution import attribution_sheets, decisions_sheet
from juggler.report.gain import gain_sheet
from juggler.report.reproduction_sheets import reproduction_sheet
from juggler.report.sheets import Sheet

if TYPE_CHECKING:
    from juggler.metrics import Scores
    from juggler.reproduce.results import Reproduction
    from juggler.runtime import Speedup
    from juggler.runtime.measure.attribution import Attribution

CLOSE_FROM_COLUMNS = 8
_STYLES = {"good": "green", "bad": "bold red", "": ""}


def scores_table(scores: Iterable[tuple[str, Scores]]) -> Table:
    """Return detection scores, one row a labelled run."""
    return _table(sheets.scores_sheet(scores))


def recall_table(scores: Sequence[tuple[str, Scores]]) -> Table:
    """Return the recall of each class in per cent, one row a labelled run."""
    return _table(sheets.recall_sheet(scores))


def timings_table(timings: Sequence[Timing], speedups: Sequence[Speedup] = ()) -> Table:
    """Return latencies in ms; the first subject is what the last column compares with."""
    return _table(sheets.timings_sheet(timings, speedups))


def certificate_table(certificate: Certificate) -> Table:
    """Return the checks of a certificate with their errors, limits and verdicts."""
    return _table(sheets.certificate_sheet(certificate))


def rewrites_table(rewrites: Iterable[Rewrite]) -> Table:
    """Return the rewrites, one row a rule."""
    return _table(sheets.rewrites_sheet(rewrites))


def refusals_table(refusals: Iterable[Refusal]) -> Table:
    """Return the refusals, one row a reason, with the remedy."""
    return _table(sheets.refusals_sheet(refusals))


def decisions_table(decisions: Iterable[Decision]) -> Table:
    """Return what was decided about each linear region, one row a region."""
    return _table(decisions_sheet(decisions))


def attribution_tables(attribution: Attribution) -> tuple[Table, ...]:
    """Return what each step to the flat form in int8 adds, one table a runtime."""
    return tuple(map(_table, attribution_sheets(attribution)))


def alerts_table(alerts: Iterable[Alert]) -> Table:
    """Return alerts with the features that weighed most."""
    return _table(sheets.alerts_sheet(alerts))


def reproduction_table(result: Reproduction) -> Table:
    """Return one table or figure of the paper as measured, published values in columns of their own."""
    return _table(reproduction_sheet(result))


def gain_table(result: Reproduction) -> Table:
    """Return how much of the gain of Fig. 8 is less work, and what is left for shape."""
    return _table(gain_sheet(result))


def sheet_table(sheet: Sheet) -> Table:
    """Return any sheet as a table."""
    return _table(sheet)


def _table(sheet: Sheet) -> Table:
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
        table.add_row(*map(Text, row), style=_STYLES[sheet.mood(number)])
    return table


def _longest(sheet: Sheet, index: int) -> int:
    return max((len(row[index]) for row in sheet.rows), default=0)
