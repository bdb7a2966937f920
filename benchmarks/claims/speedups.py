"""Flat Juggler-ResNet is at least 1.9 (depths 18, 34) and 2.0 (50, 101, 152) times as fast as ResNet.

At 224 px, batch 1, float32, on ONNX Runtime, OpenVINO and eager PyTorch; and it runs at 80 % of the machine's
ceiling or more. Holds what `juggler reproduce all` has measured on a machine (its file is the argument)
against these claims. Batch norms are folded on both sides, for every runtime would fold them: the gain is
what is left beyond that. The ceiling is a tuned matrix product in the same race.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.common import Finding, options, write
from benchmarks.machine_files import Column, read_machine
from juggler.errors import DataError
from juggler.reproduce.results import Cell, Comparison, Reproduction

LIMITS = {18: 1.9, 34: 1.9, 50: 2.0, 101: 2.0, 152: 2.0}
LEAST_SHARE = 0.8
MAIN = {"side_px": 224, "batch": 1}
RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "torch_eager": "eager PyTorch"}


def main() -> None:
    """Read a machine's file, judge it, write the result file."""
    parser = options(__doc__)
    parser.add_argument("file", type=Path, help="such as benchmarks/results/machines/<machine>.json")
    given = parser.parse_args()
    column = read_machine(given.file)
    cells = main_cells(column)
    findings = [finding for backend in RUNTIMES for finding in judged(backend, cells)]
    depths = {str(depth): details(cell) for depth, cell in cells.items()}
    source = fig8_of(column)
    whole = {"file": given.file.name, "settings": source.settings, "depths": depths}
    measured = (source.machine, source.date)
    write("speedups", __doc__, findings, whole, quick=given.quick, measured=measured)


def fig8_of(column: Column) -> Reproduction:
    """Return the machine's Fig. 8.

    Raises:
        DataError: it has none.
    """
    found = column.get("fig8")
    if found is None:
        raise DataError(f"judge {column.name}", "it has no fig8", "Run `juggler reproduce all` on it")
    return found


def main_cells(column: Column) -> dict[int, Cell]:
    """Return the cells that the claims are about, by depth.

    Raises:
        DataError: one is missing.
    """
    cells = {
        cell.case["depth"]: cell
        for cell in fig8_of(column).cells
        if {name: cell.case.get(name) for name in MAIN} == MAIN
    }
    if set(cells) != set(LIMITS):
        raise DataError(f"judge {column.name}", f"depths {sorted(cells)}", f"Wanted: {sorted(LIMITS)}")
    return dict(sorted(cells.items()))


def flat_against_plain(cell: Cell, backend: str) -> Comparison | None:
    """Return how many times as fast the flat network is, in float32."""
    wanted = ("flat", "plain", backend, "float32")
    return next(
        (c for c in cell.comparisons if (c.subject, c.against, c.backend, c.precision) == wanted), None
    )


def judged(backend: str, cells: Mapping[int, Cell]) -> Iterator[Finding]:
    """Hold one runtime's speed-ups and shares of the ceiling against the claims."""
    found = {depth: flat_against_plain(cell, backend) for depth, cell in cells.items()}
    gains = {depth: one for depth, one in found.items() if one is not None}
    work = [cell.shapes["plain"].macs / cell.shapes["flat"].macs for cell in cells.values()]
    rounds = sorted({cell.rounds for cell in cells.values()})
    yield Finding(
        claim=f"Flat against plain ResNet, 224 px, batch 1, {RUNTIMES[backend]}: at least 1.9x at depths 18 "
        "and 34, 2.0x at 50, 101 and 152",
        measured=f"{listed([one.times for one in gains.values()])}x at {'/'.join(map(str, gains))} "
        f"({listed(work)}x fewer MACs)",
        n=f"{'-'.join(map(str, rounds))} rounds; "
        + ", ".join(f"{one.low:.2f} to {one.high:.2f}" for one in gains.values()),
        reached=len(gains) == len(LIMITS) and all(one.times >= LIMITS[depth] for depth, one in gains.items()),
    )
    shares = [share for cell in cells.values() if (share := share_of(cell, backend)) is not None]
    yield Finding(
        claim=f"Flat networks run at 80 % of the machine's ceiling or more on {RUNTIMES[backend]}",
        measured=", ".join(f"{share:.0%}" for share in shares),
        n=f"{len(shares)} depths, the ceiling in the same race",
        reached=len(shares) == len(LIMITS) and min(shares) >= LEAST_SHARE,
    )


def share_of(cell: Cell, backend: str) -> float | None:
    """Return the flat network's share of the ceiling, where the backend was run."""
    row = cell.row("flat", backend, 1)
    return None if row is None else row.ceiling_share


def listed(values: list[float]) -> str:
    """Return numbers with two decimals, separated by slashes."""
    return "/".join(f"{value:.2f}" for value in values)


def details(cell: Cell) -> dict[str, Any]:
    """Return one depth's figures as plain values."""
    return {
        "macs": {name: shape.macs for name, shape in cell.shapes.items()},
        "flat_against_plain": {
            backend: one.to_dict() for backend in RUNTIMES if (one := flat_against_plain(cell, backend))
        },
        "share_of_ceiling": {backend: share_of(cell, backend) for backend in RUNTIMES},
        "ceilings_gflop_per_s": cell.ceilings,
        "rounds": cell.rounds,
    }


if __name__ == "__main__":
    main()
