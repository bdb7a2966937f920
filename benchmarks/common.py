"""What the benchmarks share: options, a progress bar over a race, and the one shape of a result file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from juggler.cli.console import ERRORS, bars
from juggler.errors import DataError
from juggler.files import write_atomically
from juggler.nouns import Machine, ReportProgress
from juggler.packages import release_of
from juggler.runtime.machine import machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
TRIALS = ROOT / "build" / "benchmarks"


@dataclass(frozen=True)
class Finding:
    """One claim held against what was measured; a row of the README's table.

    Attributes:
        claim: what was to be reached, limit included.
        measured: what came out, in words with units.
        n: over how many of what, and the 95 % interval where there is one.
        reached: whether the claim holds.
    """

    claim: str
    measured: str
    n: str
    reached: bool


def options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="a short trial, written to build/benchmarks and not to results"
    )
    return parser


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar; the block is given a function that takes done and total."""
    with bars() as display:
        task = display.add_task(what, total=None)
        yield lambda done, total: display.update(task, completed=done, total=total)


def reporting(tell: Callable[[int, int], None]) -> ReportProgress:
    """Return what the library reports to, for a bar that `progress` gave."""
    return lambda value: tell(int(value.done), int(value.total or 0))


def write(
    name: str,
    doc: str | None,
    findings: Sequence[Finding],
    details: Mapping[str, Any],
    *,
    quick: bool,
    packages: Sequence[str] = (),
    measured: tuple[Machine, str] | None = None,
) -> Path:
    """Write the result file, print the findings, return the path.

    Args:
        name: the script's name.
        doc: its docstring, whose first line is the claim.
        findings: rows of the README's table.
        details: everything measured.
        quick: a trial: written where it replaces no figure.
        packages: distributions to name besides those of the machine's record.
        measured: the machine and the day, where the figures come from elsewhere; None is here and today.
    """
    where, date = measured or (machine(), datetime.now(UTC).date().isoformat())
    here = where.to_dict()
    here["packages"] |= {package: release_of(package) for package in packages}
    result = {
        "benchmark": name,
        "claim": (doc or name).splitlines()[0],
        "date": date,
        "quick": quick,
        "machine": here,
        "findings": [asdict(finding) for finding in findings],
        **details,
    }
    path = (TRIALS if quick else RESULTS) / f"{name}.json"
    write_atomically(path, f"{json.dumps(result, indent=1, allow_nan=False)}\n".encode())
    for finding in findings:
        verdict = "[green]reached[/]" if finding.reached else "[red]MISSED[/]"
        ERRORS.print(f"{verdict} {finding.claim}: {finding.measured} ({finding.n})", soft_wrap=True)
    print(path.relative_to(ROOT))
    return path


def read(path: Path) -> dict[str, Any]:
    """Read a result file.

    Raises:
        DataError: it is no result file of a full run.
    """
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"read the result {path.name}", str(error), "Run its benchmark again") from error
    if result.get("quick", True) or "findings" not in result:
        raise DataError(f"read the result {path.name}", "a trial, or no result", "Run it without --quick")
    return result
