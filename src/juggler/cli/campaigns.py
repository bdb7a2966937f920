"""What `juggler campaign` tells of a campaign."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from juggler.cli.console import ERRORS, OUT, escape

if TYPE_CHECKING:
    from juggler.nouns import ReportProgress
    from juggler.predict.campaign.options import CampaignOptions, Chooser
    from juggler.predict.campaign.outcome import FleetOutcome, Outcome
    from juggler.predict.campaign.store.samples import Store


def chosen_chooser(active: bool, seed: int) -> Chooser | None:
    """Return the committee, or None where all is drawn at random."""
    if not active:
        return None
    from juggler.predict.campaign.active import committee  # noqa: PLC0415  # xgboost is heavy

    return partial(committee, seed=seed)


def measured(
    store: Store,
    fleet: str | None,
    options: CampaignOptions,
    *,
    chooser: Chooser | None,
    progress: ReportProgress,
) -> Outcome | FleetOutcome:
    """Run a campaign on this machine, or on those of a fleet; return what it has."""
    if fleet is None:
        from juggler.predict.campaign.run import run_campaign  # noqa: PLC0415

        return run_campaign(store, options, chooser=chooser, progress=progress)
    from juggler.predict.campaign.fleet.driver import run_fleet  # noqa: PLC0415

    return run_fleet(store, fleet, options, chooser=chooser, progress=progress)


def exit_code(outcome: Outcome | FleetOutcome) -> int:
    """Return 130 for a campaign that was interrupted, 1 for one that no worker is left for, else 0."""
    from juggler.predict.campaign.outcome import FleetOutcome  # noqa: PLC0415

    left = isinstance(outcome, FleetOutcome) and bool(outcome.unfinished)
    return 130 if outcome.stopped else int(left)


def read_back(damaged: Path, store: Store) -> None:
    """Copy what can be read of a damaged database, and say how much that was."""
    from juggler.predict.campaign.store.samples import salvage  # noqa: PLC0415

    ERRORS.print(f"juggler: {salvage(damaged, store)} samples read back from {escape(str(damaged))}")


def print_outcome(outcome: Outcome | FleetOutcome, db: Path) -> None:
    """Say what a campaign has now, and how well its timings repeat; of a fleet, of each kind of machine."""
    from juggler.predict.campaign.outcome import FleetOutcome  # noqa: PLC0415

    if not isinstance(outcome, FleetOutcome):
        _print_campaign(outcome, db)
        return
    for family_outcome in outcome.outcomes:
        _print_campaign(family_outcome, db, left=family_outcome.campaign in outcome.unfinished)
    kinds = len(outcome.outcomes)
    OUT.print(f"  workers: {outcome.workers}; kinds of machine: {kinds}", soft_wrap=True)
    for lost in outcome.lost:
        ERRORS.print(f"[yellow]lost:[/] {escape(lost)}", soft_wrap=True)
    for name in outcome.unfinished:
        ERRORS.print(
            f"[red]unfinished:[/] {escape(name)}: no worker is left. The same line goes on where it stopped.",
            soft_wrap=True,
        )


def _print_campaign(outcome: Outcome, db: Path, *, left: bool = False) -> None:
    state = "[yellow]stopped[/]" if outcome.stopped or left else "[green]✓[/]"
    minutes = outcome.seconds / 60.0
    OUT.print(
        f"{state} {outcome.samples} samples in {escape(str(db))} after {minutes:.1f} min of measuring, "
        f"{outcome.new} of them new; {outcome.unfit} kernels left out that the runtime does not make, "
        f"{outcome.redone} blocks measured again",
        soft_wrap=True,
    )
    if outcome.stopped:
        OUT.print("  The same line goes on where it stopped.", soft_wrap=True)
    elif outcome.new == 0 and not left:
        OUT.print("  Nothing was left to do: ask for more minutes or samples to go on.", soft_wrap=True)
    if outcome.floors:
        table = Table("family", "measured again", "differ by %, mean", "median", "hours between")
        for floor in outcome.floors:
            numbers = (f"{floor.mape:.2f}", f"{floor.median_ape:.2f}", f"{floor.hours:.2f}")
            table.add_row(escape(floor.family), str(floor.samples), *numbers)
        OUT.print(table)
