"""The figures of README.md and docs/claims.md are those of the result files: fill them in, or check them.

The README shows the headlines, two of them in the text, and how many claims were missed, docs/claims.md every
claim of every result file that makes one: the missed ones first, then all of them by file, each with what was
measured, over how many of what and with which 95 % interval. With --check nothing is written, and the exit
code is 1 where a page says something else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, ROOT, read
from benchmarks.pages.blocks import filled, options, put, table
from juggler.errors import DataError

BENCHMARKS = ROOT / "benchmarks"
HEADLINES = (  # a result file, and how the claim of it that the README shows begins
    ("speedups", "Flat against plain ResNet, 224 px, batch 1, ONNX Runtime"),
    ("int8", "Flat Juggler-ResNet-152 against ResNet-152, both in int8, OpenVINO"),
    ("predict_networks", "90 % intervals of networks"),
    ("detector_speed", "Flat detector, ONNX Runtime, one record"),
    ("nsl_kdd", "KDDTest+ at f = 2%, area under the curve"),
)
IN_TEXT = {  # by its marker, the headline that stands in a section of the README
    "network": "int8",
    "plant": "detector_speed",
}
HEAD = ("Claim", "Measured", "n, 95 % interval", "", "Result")
PACKAGES = ("onnxruntime", "openvino", "torch")

Result = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill both pages in, or check them; return the exit code."""
    parser = options(__doc__)
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--claims", type=Path, default=ROOT / "docs" / "claims.md")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)

    def fill(page: Path, blocks: Callable[[Path], Mapping[str, str]]) -> int:
        return put(page, lambda text: filled(text, blocks(given.results)), check=given.check)

    return max(fill(given.readme, readme), fill(given.claims, claims))


def results_with_claims(folder: Path) -> dict[str, Result]:
    """Return the results that make claims by the names of their files, those of the headlines among them.

    Raises:
        DataError: a result is missing, no result, or a trial.
    """
    names = {path.stem for path in folder.glob("*.json")} | {name for name, _ in HEADLINES}
    results = {name: read(folder / f"{name}.json") for name in sorted(names)}
    return {name: result for name, result in results.items() if result["findings"]}


def readme(folder: Path) -> dict[str, str]:
    """Return the README's blocks: a row a headline, how many claims were missed, and what stands in the text.

    Raises:
        DataError: a result is missing, or makes no such claim.
    """
    results = results_with_claims(folder)
    shown = {name: _headline(results, name, begin) for name, begin in HEADLINES}
    rows = [(*_cells(shown[name]), f"[{name}](benchmarks/results/{name}.json)") for name in shown]
    missed, count = len(list(_missed(results))), sum(len(result["findings"]) for result in results.values())
    processors = sorted({result["machine"]["cpu"] for result in results.values()})
    verdict = (
        f"**{missed} of {count} claims missed: [all of them](docs/claims.md).** "
        f"Measured on {', '.join(processors)}; machine, releases and date stand beside each claim."
    )
    blocks = {"figures": f"{table(HEAD, rows)}\n\n{verdict}"}
    for marker, name in IN_TEXT.items():
        blocks[marker] = "Measured: {claim}: **{measured}** ({n}).".format(**shown[name])
    return blocks


def claims(folder: Path) -> dict[str, str]:
    """Return the block of docs/claims.md: what was missed, then every claim by its result file."""
    results = results_with_claims(folder)
    missed = [
        (finding["claim"], finding["measured"], finding["n"], f"[{name}](#{name})")
        for name, finding in _missed(results)
    ]
    count = sum(len(result["findings"]) for result in results.values())
    parts = [
        f"{count - len(missed)} of {count} reached, {len(missed)} missed.",
        "## Missed",
        table((*HEAD[:3], HEAD[-1]), missed) if missed else "None.",
        "## All, by result file",
        *(part for name, result in results.items() for part in _section(name, result)),
    ]
    return {"figures": "\n\n".join(parts)}


def script_of(benchmark: str) -> Path:
    """Return the script that writes the result of this name.

    Raises:
        DataError: there is none.
    """
    folder, _, part = benchmark.partition("_")
    for pattern in (f"{benchmark}.py", f"{folder}/{part}.py", f"{benchmark}/report.py"):
        paths = [path for path in sorted(BENCHMARKS.rglob(pattern)) if RESULTS not in path.parents]
        if paths:
            return paths[0]
    raise DataError(f"find the script of {benchmark}", "there is none", "Name it as its result file")


def _section(name: str, result: Result) -> Iterator[str]:
    script = script_of(name) if (RESULTS / f"{name}.json").is_file() else None
    links = [f"[result](../benchmarks/results/{name}.json)"]
    if script is not None:
        links.insert(0, f"[script](../{Path(os.path.relpath(script, ROOT)).as_posix()})")
    yield f"### {name}"
    yield f"{result['claim']} {', '.join(links)}; {result['date']}, {_machine(result['machine'])}."
    yield table(HEAD[:4], [_cells(finding) for finding in result["findings"]])


def _headline(results: Mapping[str, Result], name: str, begin: str) -> Result:
    findings = results[name]["findings"] if name in results else ()
    found = [finding for finding in findings if finding["claim"].startswith(begin)]
    if len(found) != 1:
        raise DataError(
            f"find the headline {begin!r} in {name}.json",
            f"{len(found)} claims begin so",
            "Mend HEADLINES in benchmarks/pages/readme_figures.py",
        )
    headline: Result = found[0]
    return headline


def _missed(results: Mapping[str, Result]) -> Iterator[tuple[str, Result]]:
    for name, result in results.items():
        yield from ((name, finding) for finding in result["findings"] if not finding["reached"])


def _cells(finding: Result) -> tuple[str, ...]:
    verdict = "reached" if finding["reached"] else "**missed**"
    return finding["claim"], finding["measured"], finding["n"], verdict


def _machine(machine: Result) -> str:
    releases = machine["packages"]
    shown = [f"{name} {releases[name]}" for name in PACKAGES if name in releases]
    return f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, {', '.join(shown)}"


if __name__ == "__main__":
    sys.exit(main())
