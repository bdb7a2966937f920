"""What `juggler fit` says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from juggler.cli.console import ERRORS, OUT, escape
from juggler.files import write_atomically
from juggler.nouns import ReportProgress

if TYPE_CHECKING:
    from juggler.predict.campaign.networks import TimedNetwork
    from juggler.predict.campaign.store.samples import Store
    from juggler.predict.fit.comparison import Comparison
    from juggler.predict.fit.report import FitReport
    from juggler.predict.learning.learner import Epoch
    from juggler.predict.learning.scores import Scores
    from juggler.predict.predictor.predictor import Predictor

_COLUMNS = ("MAPE %", "in 5 %", "in 10 %", "RMSE ms", "MAE ms", "Spearman")


def compared(
    store: Store,
    learners: str | None,
    *,
    split: str,
    machine: str | None,
    seed: int,
    progress: ReportProgress,
    histories: dict[str, Sequence[Epoch]] | None = None,
) -> Comparison | None:
    """Score the learners named, all where none is, and print the table; None where they are `none`.

    Errors by epoch on conv kernels are put into `histories`, by learner, where it is given.
    """
    from juggler.predict.fit.comparison import compare_learners  # noqa: PLC0415

    if learners == "none":
        return None

    def keep(family: str, learner: str, history: tuple[Epoch, ...]) -> None:
        if histories is not None and family == "conv":
            histories[learner] = history

    comparison = compare_learners(
        store.samples(machine=machine),
        learners=_named(learners),
        split=split,
        seed=seed,
        floors=store.floors(machine),
        progress=progress,
        watch=None if histories is None else keep,
    )
    print_comparison(comparison)
    return comparison


def fit_and_print(
    store: Store,
    use: str | None,
    networks: Sequence[TimedNetwork],
    *,
    device: str,
    machine: str | None,
    seed: int,
    progress: ReportProgress,
) -> tuple[Predictor, FitReport]:
    """Fit the predictor and print what it is made of."""
    from juggler.predict.fit.predictor import fit_predictor  # noqa: PLC0415

    predictor, report = fit_predictor(
        store,
        learners=_named(use),
        device=device,
        networks=networks,
        machine=machine,
        seed=seed,
        progress=progress,
    )
    print_report(report, predictor.networks.level)
    return predictor, report


def write_scores(comparison: Comparison | None, report: FitReport, path: Path) -> Path:
    """Write the learners' scores and the predictor's report as JSON; return the path."""
    content = {"learners": comparison.to_dict() if comparison else None, "predictor": report.to_dict()}
    return write_atomically(path, f"{json.dumps(content, indent=1, allow_nan=False)}\n".encode())


def _named(names: str | None) -> list[str] | None:
    return [name.strip() for name in names.split(",") if name.strip()] if names else None


def print_comparison(comparison: Comparison) -> None:
    """Print every learner's scores, a table to a family, with the floor above it."""
    held = "whole batch sizes" if comparison.split == "batch" else "a fifth of the random kernels"
    OUT.print(f"[bold]Learners[/], {held} held out, seed {comparison.seed}; execution phase")
    for family, rows in groupby(comparison.rows, key=lambda row: row.family):
        scored = [*rows]
        first = scored[0]
        floor = "no floor measured" if first.floor is None else f"floor {first.floor:.1f} %"
        OUT.print(
            f"\n[bold]{escape(family)}[/]: {first.training:,} learned, {first.scores.n:,} held out, {floor}"
        )
        table = _table("learner", *_COLUMNS)
        for row in scored:
            table.add_row(escape(row.learner), *_cells(row.scores))
        OUT.print(table)
    for name, why in comparison.unavailable.items():
        ERRORS.print(f"[yellow]not fitted:[/] {escape(name)}: {escape(why)}", soft_wrap=True)
    for family, count in comparison.left_out.items():
        ERRORS.print(f"[yellow]left out:[/] {escape(family)}, {count} samples are too few", soft_wrap=True)


def print_report(report: FitReport, level: float) -> None:
    """Print what the predictor is made of, its intervals' level, and how it does on what it has not seen."""
    made_of = f"{report.samples:,} samples, seed {report.seed}; {100.0 * level:g} % intervals"
    OUT.print(f"\n[bold]Predictor[/] {escape(report.device)}, {made_of}")
    table = _table("family", "learner", "learned", "unseen", _COLUMNS[0], _COLUMNS[2], "interval")
    for family in report.families:
        counts = f"{family.training:,}", f"{family.calibration:,}"
        error, _, near, *_ = _cells(family.scores) if family.scores else ("-",) * len(_COLUMNS)
        width = f"x/: {1.0 + family.half_width:.2f}"
        table.add_row(escape(family.family), escape(family.learner), *counts, error, near, width)
    OUT.print(table)
    if report.networks.scores is not None:
        scores, paper = report.networks.scores, report.networks.paper_scores
        beside = f"; the paper's Eq. 2: {paper.mape:.1f} %" if paper else ""
        OUT.print(
            f"Networks, each by a composition fitted without it: MAPE {scores.mape:.1f} %{beside} "
            f"({report.networks.names} networks, {report.networks.timed} timings)"
        )


def _table(*names: str) -> Table:
    """Return a table whose words stand left and whose numbers stand right, none of them broken."""
    table = Table(box=None, pad_edge=False)
    for name in names:
        word = name in ("family", "learner")
        table.add_column(name, justify="left" if word else "right", no_wrap=True)
    return table


def _cells(scores: Scores) -> tuple[str, ...]:
    shares = f"{scores.mape:.1f}", f"{scores.within_5:.0f}", f"{scores.within_10:.0f}"
    return (*shares, f"{scores.rmse_ms:.3g}", f"{scores.mae_ms:.3g}", f"{scores.spearman:.3f}")
