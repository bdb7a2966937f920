"""The tables of docs/explain/others.md are those of benchmarks/results/others.json: write, or check.

With --check nothing is written, and the exit code is 1 where the page is not what the result says.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.pages.blocks import claims, of_one_result, table

TITLES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def findings(result: Mapping[str, Any]) -> str:
    """Return what was claimed and what came out, and where."""
    machine = result["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {result['date']}."
    return f"{claims(result['findings'])}\n\n{where}"


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; return the exit code."""
    blocks = {"findings": findings, "families": families, "networks": networks}
    return of_one_result("others", "explain/others", blocks, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
