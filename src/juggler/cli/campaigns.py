"""What `juggler campaign` tells of a campaign."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from juggler.cli.console import ERRORS, OUT, escape

if TYPE_CHECKING:
    from juggler.predict.outcome import Outcome
    from juggler.predict.planning import Chooser
    from juggler.predict.store import Store


def chosen_chooser(active: bool, seed: int) -> Chooser | None:
    """Return the committee, or None where all is drawn at random."""
    if not active:
        return None
    from juggler.predict.active import committee  # noqa: PLC0415  # xgboost is heavy

    return partial(committee, seed=seed)


def read_back(damaged: Path, store: Store) -> None:
    """Copy what can be read of a damaged database, and say how much that was."""
    from juggler.predict.store import salvage  # noqa: PLC0415

    ERRORS.print(f"juggler: {salvage(damaged, store)} samples read back from {escape(str(damaged))}")


def tell(outcome: Outcome, db: Path) -> None:
    """Say what a campaign has now, and how well its timings repeat."""
    state = "[yellow]stopped[/]" if outcome.stopped else "[green]✓[/]"
    minutes = outcome.seconds / 60.0
    OUT.print(
        f"{state} {outcome.samples} samples in {escape(str(db))} after {minutes:.1f} min of measuring, "
        f"{outcome.new} of them new; {outcome.unfit} kernels left out that the runtime does not make, "
        f"{outcome.redone} blocks measured again",
        soft_wrap=True,
    )
    if outcome.stopped:
        OUT.print("  The same line goes on where it stopped.", soft_wrap=True)
    elif outcome.new == 0:
        OUT.print("  Nothing was left to do: ask for more minutes or samples to go on.", soft_wrap=True)
    if outcome.floors:
        table = Table("family", "measured again", "differ by %, mean", "median", "hours between")
        for floor in outcome.floors:
            numbers = (f"{floor.mape:.2f}", f"{floor.median_ape:.2f}", f"{floor.hours:.2f}")
            table.add_row(floor.family, str(floor.samples), *numbers)
        OUT.print(table)
