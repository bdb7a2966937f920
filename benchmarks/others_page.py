"""The tables of docs/others.md are those of benchmarks/results/others.json: write them, or check them.

With --check nothing is written, and the exit code is 1 where the page is not what the result says.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import RESULTS, ROOT, read

from juggler.errors import DataError, JugglerError
from juggler.files import write_atomically

PAGE = ROOT / "docs" / "others.md"
TITLES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if it differs")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--result", type=Path, default=RESULTS / "others.json")
    given = parser.parse_args(arguments)
    try:
        text = given.page.read_text(encoding="utf-8")
        wanted = filled(text, read(given.result))
    except (JugglerError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if wanted != text and given.check:
        print(f"{given.page.name}: not what the result says; run `make figures`", file=sys.stderr)
        return 1
    if wanted != text:
        write_atomically(given.page, wanted.encode())
    return 0


def filled(text: str, result: Mapping[str, Any]) -> str:
    """Return the page with every table between its markers.

    Raises:
        DataError: a pair of markers is not there, once each and in this order.
    """
    for name, block in {"findings": findings, "families": families, "networks": networks}.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if (text.count(begin), text.count(end)) != (1, 1) or text.index(begin) > text.index(end):
            raise DataError(
                f"find where {name} goes in the page",
                f"{text.count(begin)} of {begin}, {text.count(end)} of {end}",
                "Write both once, each on a line of its own, in this order",
            )
        before, after = text[: text.index(begin)], text[text.index(end) :]
        text = f"{before}{begin}\n{block(result)}\n{after}"
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def findings(result: Mapping[str, Any]) -> str:
    """Return what was claimed and what came out, and where."""
    rows = [
        [f["claim"], f["measured"], f["n"], "yes" if f["reached"] else "**no**"] for f in result["findings"]
    ]
    machine = result["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {result['date']}."
    return f"{table(['claim', 'measured', 'over', 'reached'], rows)}\n\n{where}"


def families(result: Mapping[str, Any]) -> str:
    """Return the geometric mean of the ratios of every family."""
    backends = _backends(result)
    rows = [
        [family, str(max((one["networks"] for one in means.values()), default=0))]
        + [f"{means[name]['times']:.2f}" if name in means else "" for name in backends]
        for family, means in sorted(result["families"].items(), key=lambda item: -_best(item[1]))
    ]
    return table(["family", "networks", *(TITLES.get(name, name) for name in backends)], rows)


def _best(means: Mapping[str, Mapping[str, float]]) -> float:
    return max((one["times"] for one in means.values()), default=0.0)


def networks(result: Mapping[str, Any]) -> str:
    """Return one row a network: what was done to it, and what it gained."""
    backends = _backends(result)
    rows = [_row(one, backends) for one in result["networks"]]
    heads = [f"{TITLES.get(name, name)}: times as fast; latency" for name in backends]
    return table(
        ["network", "family", "rewrites", "refusals", "nodes", "MACs (M)", "float64 error", *heads], rows
    )


def _row(one: Mapping[str, Any], backends: Sequence[str]) -> list[str]:
    if "refused" in one:
        told = f"refused: {one['refused']['found']}"
        return [one["name"], one["family"], told, *[""] * (4 + len(backends))]
    flat = next(iter(one["flat"].values()))
    nodes, macs = flat["nodes"], [macs / 1e6 for macs in flat["macs"]]
    races = one.get("races", {})
    unraced = one.get("unraced", {})
    times = [_race(races[n]) if n in races else f"not raced: {unraced.get(n, '')[:90]}" for n in backends]
    done = ", ".join(f"{times} {rule}" for rule, times in flat["rewrites"].items()) or "none"
    error = f"{max(proof['float64'] for proof in one['flat'].values()):.0e}"
    return [
        one["name"],
        one["family"],
        done,
        str(flat["refusals"]),
        f"{nodes[0]} to {nodes[1]}",
        f"{macs[0]:,.0f}" if macs[0] == macs[1] else f"{macs[0]:,.0f} to {macs[1]:,.0f}",
        error,
        *times,
    ]


def _race(race: Mapping[str, float]) -> str:
    """Return a ratio, its interval and both latencies."""
    ratio = f"{race['times']:.2f} ({race['low']:.2f} to {race['high']:.2f})"
    return f"{ratio}; {race['original_ms']:.3g} to {race['flat_ms']:.3g} ms"


def _backends(result: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for one in result["networks"] for name in one.get("races", {})))


if __name__ == "__main__":
    sys.exit(main())
