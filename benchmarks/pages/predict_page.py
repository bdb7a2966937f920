"""The tables of docs/how-to/predict.md: those of predict_kernels.json and predict_networks.json.

With --check nothing is written, and the exit code is 1 where the page is not what the results say.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.pages.blocks import Result, of_results, table

TITLES = {
    **{"conv": "convolution", "depthwise": "depthwise convolution", "pool": "pooling"},
    **{"global_pool": "global pooling", "add": "sum"},
}


def blocks(kernels: Result, whole: Result) -> dict[str, str]:
    """Return what stands between the page's markers."""
    return {"kernels": families(kernels), "sizes": sizes(kernels), "networks": networks(whole)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the page, or check it; return the exit code."""
    results = {"kernels": "predict_kernels", "networks": "predict_networks"}
    return of_results("how-to/predict", results, blocks, __doc__, arguments)


def families(result: Result) -> str:
    """Return one row a family: errors, what timings repeat to, what fewer samples come to, coverage."""
    rows = []
    for family, own in result["families"].items():
        scores, floor, later = own["scores"], own["floor"], own.get("floor_later")
        fewer = [f"{one['mape']:.1f} ({one['samples']:,})" for one in own.get("from_fewer", [])]
        rows.append(
            [
                TITLES.get(family, family),
                f"{scores['n']:,}",
                f"**{scores['mape']:.1f}**",
                f"{own['median_error']:.1f}",
                f"{scores['within_10']:.0f}",
                "" if floor is None else f"{floor['mape']:.1f}",
                "" if later is None else f"{later['mape']:.1f} ({later['hours']:.1f} h)",
                ", ".join(fewer),
                f"{100 * own['covered']:.0f}",
            ]
        )
    head = ["kernels", "held out", "MAPE (%)", "median (%)", "within 10 % (%)", "floor (%)", "hours later"]
    place = result["machine"]
    spent = result["campaign"]
    told = (
        f"{spent['samples']:,} samples in {spent['minutes']:.0f} minutes, {result['backend']}, "
        f"{result['threads']} thread, {place['cpu']}, {result['date']}."
    )
    return f"{table([*head, 'MAPE from fewer (samples)', 'covered (%)'], rows)}\n\n{told}"


def sizes(result: Result) -> str:
    """Return the error of each family by the memory that a kernel touches, and by where it was drawn."""
    shown = {family: own for family, own in result["families"].items() if "from_fewer" in own}
    parts = list(dict.fromkeys(_range(one) for own in shown.values() for one in own["by_size"]))
    rows = []
    for part in sorted(parts):
        cells = [
            next((f"{o['mape']:.1f} ({o['n']})" for o in own["by_size"] if _range(o) == part), "")
            for own in shown.values()
        ]
        rows.append([_words(*part), *cells])
    for name, words in {"network": "sizes of real networks", "random": "random sizes"}.items():
        drawn = [own["by_draw"].get(name) for own in shown.values()]
        rows.append([words, *("" if o is None else f"{o['mape']:.1f} ({o['n']})" for o in drawn)])
    return table(["MAPE in % (kernels)", *(TITLES.get(family, family) for family in shown)], rows)


def networks(result: Result) -> str:
    """Return one row a network: errors over its batch sizes, and whether its intervals held."""
    rows = []
    for name, own in result["by_network"].items():
        calls = [one for one in result["networks"] if one["network"] == name]
        held = sum(one["covered"] for one in calls)
        one = next((call for call in calls if call["batch"] == 1), calls[0])
        rows.append(
            [
                name,
                f"{own['n']}",
                f"**{own['mape']:.1f}**",
                f"{own['within_10']:.0f}",
                f"{one['measured_ms']:.3g}",
                f"{one['predicted_ms']:.3g} ({one['low_ms']:.3g} to {one['high_ms']:.3g})",
                f"{held} of {len(calls)}",
            ]
        )
    head = ["network", "batch sizes", "MAPE (%)", "within 10 % (%)", "measured, batch 1 (ms)"]
    return table([*head, "predicted (ms, 90 % interval)", "held by the interval"], rows)


def _range(one: Result) -> tuple[float, float]:
    return float(one["from_mb"]), float("inf") if one["to_mb"] is None else float(one["to_mb"])


def _words(low: float, high: float) -> str:
    if low == 0.0:
        return f"up to {high:g} MB"
    return f"{low:g} MB and more" if high == float("inf") else f"{low:g} to {high:g} MB"


if __name__ == "__main__":
    sys.exit(main())
