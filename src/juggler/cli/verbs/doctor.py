"""`juggler doctor`: what is installed, what works, what is missing and how to get it."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from juggler.cli.audience import EVERYONE
from juggler.cli.console import OUT, escape
from juggler.report.doctor import examine


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what is installed, which backends work, what is missing and how to get it.

    Example: juggler doctor
    """
    checks = examine()
    if as_json:
        typer.echo(json.dumps([finding.to_dict() for finding in checks], indent=2))
        return
    table = Table("", "part", "release", "state", box=None, pad_edge=False)
    for finding in checks:
        mark = "[green]✓[/]" if finding.works else "[yellow]–[/]"
        state = "works" if finding.works else f"{finding.missing}: {finding.remedy}"
        table.add_row(mark, *map(escape, (finding.part, finding.release or "", state)))
    OUT.print(table)


VERB = doctor
PANEL = EVERYONE
