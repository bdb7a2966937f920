"""The figures in the README are those of the result files: fill them in, or check that they agree.

Writes one table between `<!-- figures:begin -->` and `<!-- figures:end -->`: every claim, what was measured,
over how many of what and with which 95 % interval, whether it was reached, and the result file that says so.
With --check nothing is written, and the exit code is 1 where the README says something else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import RESULTS, ROOT, read

from juggler.errors import DataError, JugglerError
from juggler.files import write_atomically

BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
BENCHMARKS = (
    "speedups",
    "clock",
    "detector_speed",
    "nsl_kdd",
    "exactness",
    "flatten_cost",
    "graph_search",
    "others",
    "int8",
    "counts",
    "systolic",
    "justus",
)
HEAD = ("Claim", "Measured", "n, 95 % interval", "", "Result")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the README in, or check it; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if they differ")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    try:
        text = given.readme.read_text(encoding="utf-8")
        wanted = filled(text, block(given.results))
    except (JugglerError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if wanted == text:
        return 0
    if given.check:
        print(f"{given.readme.name} differs from the results: run `make figures`", file=sys.stderr)
        return 1
    write_atomically(given.readme, wanted.encode())
    return 0


def filled(text: str, figures: str) -> str:
    """Return the README with the figures between its markers.

    Raises:
        DataError: the markers are not there, once each and in this order.
    """
    if (text.count(BEGIN), text.count(END)) != (1, 1) or text.index(BEGIN) > text.index(END):
        raise DataError(
            "find the figures in the README",
            f"{text.count(BEGIN)} of {BEGIN}, {text.count(END)} of {END}",
            "Write both once, each on a line of its own, in this order",
        )
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    return f"{before}{BEGIN}\n{figures}{after}"


def block(results: Path) -> str:
    """Return the table and the machines of all results.

    Raises:
        DataError: a result is missing, no result, or a trial.
    """
    lines = [_row(HEAD), _row(("---",) * len(HEAD))]
    machines: dict[str, list[str]] = {}
    for name in BENCHMARKS:
        result = read(results / f"{name}.json")
        link = f"[{name}](benchmarks/results/{name}.json)"
        lines += [_row((*_cells(finding), link)) for finding in result["findings"]]
        machines.setdefault(_machine(result["machine"]), []).append(f"{name} ({result['date']})")
    missed = sum("**missed**" in line for line in lines)
    count = len(lines) - 2
    verdict = f"{count - missed} of {count} reached" + (f", {missed} missed." if missed else ".")
    where = [f"Measured on {machine}: {', '.join(names)}." for machine, names in machines.items()]
    return "\n".join([*lines, "", " ".join([verdict, *where]), ""])


def _cells(finding: dict[str, Any]) -> tuple[str, ...]:
    verdict = "reached" if finding["reached"] else "**missed**"
    return finding["claim"], finding["measured"], finding["n"], verdict


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _machine(machine: dict[str, Any]) -> str:
    releases = machine["packages"]
    shown = [f"{name} {releases[name]}" for name in ("onnxruntime", "openvino", "torch") if name in releases]
    return f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, {', '.join(shown)}"


if __name__ == "__main__":
    sys.exit(main())
