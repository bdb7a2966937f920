"""The figures in the README are those of the result files: fill them in, or check that they agree.

Writes two tables between `<!-- figures:begin -->` and `<!-- figures:end -->`: each claim, what was measured,
over how many of what and with which 95 % interval, whether it was reached, and the result file that says so.
The first claim of each result and all that were missed are in sight, the others folded away.
With --check nothing is written, and the exit code is 1 where the README says something else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, ROOT, read
from benchmarks.pages.blocks import filled, folded, options, put, table

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
    "survey",
    "accuracy",
    "accuracy_front",
    "accuracy_throughput",
    "predict_kernels",
    "predict_networks",
    "justus",
)
MISSED = "**missed**"
HEAD = ("Claim", "Measured", "n, 95 % interval", "", "Result")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the README in, or check it; return the exit code."""
    parser = options(__doc__)
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    return put(given.readme, lambda text: filled(text, {"figures": block(given.results)}), check=given.check)


def block(results: Path) -> str:
    """Return the tables and the machines of all results.

    Raises:
        DataError: a result is missing, no result, or a trial.
    """
    shown: list[Sequence[str]] = []
    rest: list[Sequence[str]] = []
    machines: dict[str, list[str]] = {}
    for name in BENCHMARKS:
        result = read(results / f"{name}.json")
        link = f"[{name}](benchmarks/results/{name}.json)"
        for number, finding in enumerate(result["findings"]):
            in_sight = number == 0 or not finding["reached"]
            (shown if in_sight else rest).append((*_cells(finding), link))
        machines.setdefault(_machine(result["machine"]), []).append(f"{name} ({result['date']})")
    count, missed = len(shown) + len(rest), sum(MISSED in cells for cells in shown)
    verdict = f"{count - missed} of {count} reached" + (f", {missed} missed." if missed else ".")
    where = [f"Measured on {machine}: {', '.join(names)}." for machine, names in machines.items()]
    parts = [table(HEAD, shown), " ".join([verdict, *where])]
    if rest:
        parts.append(folded(f"{len(rest)} more claims, all reached", table(HEAD, rest)))
    return "\n\n".join(parts)


def _cells(finding: dict[str, Any]) -> tuple[str, ...]:
    verdict = "reached" if finding["reached"] else MISSED
    return finding["claim"], finding["measured"], finding["n"], verdict


def _machine(machine: dict[str, Any]) -> str:
    releases = machine["packages"]
    shown = [f"{name} {releases[name]}" for name in ("onnxruntime", "openvino", "torch") if name in releases]
    return f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, {', '.join(shown)}"


if __name__ == "__main__":
    sys.exit(main())
