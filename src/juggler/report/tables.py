"""Show the report's tables in a terminal; needs rich alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from juggler.nouns import Alert, Certificate, Decision, Refusal, Rewrite, Timing
from juggler.report.detector.sheets import alerts_sheet, recall_sheet, scores_sheet
from juggler.report.kit.sheet import sheet_table
from juggler.report.network import sheets
from juggler.report.network.sheets import attribution_sheets, decisions_sheet
from juggler.report.reproduction.sheets import gain_sheet, reproduction_sheet

if TYPE_CHECKING:
    from juggler.metrics import Scores
    from juggler.reproduce.results import Reproduction
    from juggler.runtime import Speedup
    from juggler.runtime.measure.attribution import Attribution


def scores_table(scores: Iterable[tuple[str, Scores]]) -> Table:
    """Return detection scores, one row a labelled run."""
    return sheet_table(scores_sheet(scores))


def recall_table(scores: Sequence[tuple[str, Scores]]) -> Table:
    """Return the recall of each class in per cent, one row a labelled run."""
    return sheet_table(recall_sheet(scores))


def timings_table(timings: Sequence[Timing], speedups: Sequence[Speedup] = ()) -> Table:
    """Return latencies in ms; the first subject is what the last column compares with."""
    return sheet_table(sheets.timings_sheet(timings, speedups))


def certificate_table(certificate: Certificate) -> Table:
    """Return the checks of a certificate with their errors, limits and verdicts."""
    return sheet_table(sheets.certificate_sheet(certificate))


def rewrites_table(rewrites: Iterable[Rewrite]) -> Table:
    """Return the rewrites, one row a rule."""
    return sheet_table(sheets.rewrites_sheet(rewrites))


def refusals_table(refusals: Iterable[Refusal]) -> Table:
    """Return the refusals, one row a reason, with the remedy."""
    return sheet_table(sheets.refusals_sheet(refusals))


def decisions_table(decisions: Iterable[Decision]) -> Table:
    """Return what was decided about each linear region, one row a region."""
    return sheet_table(decisions_sheet(decisions))


def attribution_tables(attribution: Attribution) -> tuple[Table, ...]:
    """Return what each step to the flat form in int8 adds, one table a runtime."""
    return tuple(map(sheet_table, attribution_sheets(attribution)))


def alerts_table(alerts: Iterable[Alert]) -> Table:
    """Return alerts with the features that weighed most."""
    return sheet_table(alerts_sheet(alerts))


def reproduction_table(result: Reproduction) -> Table:
    """Return one table or figure of the paper as measured, published values in columns of their own."""
    return sheet_table(reproduction_sheet(result))


def gain_table(result: Reproduction) -> Table:
    """Return how much of the gain of Fig. 8 is less work, and what is left for shape."""
    return sheet_table(gain_sheet(result))
