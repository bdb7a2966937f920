"""Tables of docs/reference/measured.md with no published counterpart: precision, memory, ceiling, energy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.machine_files import Column
from benchmarks.pages.measured_tables import NONE_YET, Cells, escaped, rows_of, side_by_side
from juggler.report.kit import units
from juggler.reproduce.results import Cell, Reproduction, Row

NETWORKS = ("plain", "flat", "wide")
REACHED = 0.8  # below this share of the ceiling, the flat network's reason is looked for
CASE = ("depth", "px", "batch", "backend")


def precisions(columns: Sequence[Column]) -> str:
    """Return flat in bfloat16 and int8, against itself in float32 and against plain in the same."""

    def cells(result: Reproduction) -> Cells:
        texts = {}
        for cell in result.cells:
            for found in cell.comparisons:
                if (found.subject, found.against) != ("flat", "plain") or found.precision == "float32":
                    continue
                row = cell.row("flat", found.backend, found.batch, found.precision)
                exact = cell.row("flat", found.backend, found.batch)
                own = f", ×{exact.median_ms / row.median_ms:.2f} its float32" if row and exact else ""
                texts[*_case(cell, found.backend, found.batch), found.precision] = (
                    f"{units.significant(row.median_ms if row else None)} ms{own}, "
                    f"×{found.times:.2f} plain ({found.low:.2f} to {found.high:.2f})"
                )
        return texts

    return side_by_side((*CASE, "precision"), columns, "fig8", cells)


def memory(columns: Sequence[Column]) -> str:
    """Return the largest resident memory of a process that runs one network."""

    def tell(row: Row) -> str:
        if row.process_mib is None:
            return ""
        own = "" if row.network_mib is None else f" ({units.count(row.network_mib)})"
        return f"{row.subject} {units.count(row.process_mib)}{own}"

    return side_by_side((*CASE, "precision"), columns, "fig8", lambda result: _told(result, tell))


def energy(columns: Sequence[Column]) -> str:
    """Return the energy of a call where a machine has a meter, and which machines have none."""

    def tell(row: Row) -> str:
        return "" if row.energy_mj is None else f"{row.subject} {units.significant(row.energy_mj)} mJ"

    measured = [c for c in columns if (result := c.get("fig8")) and _told(result, tell)]
    without = [(c, result) for c in columns if c not in measured and (result := c.get("fig8"))]
    table = side_by_side((*CASE, "precision"), measured, "fig8", lambda result: _told(result, tell))
    lost = "\n".join(
        f"- {escaped(c.name)}: no meter ({escaped(str(result.settings.get('energy', 'not measured')))})"
        for c, result in without
    )
    return "\n\n".join(filter(None, (table if measured else "", lost))) or NONE_YET


def _told(result: Reproduction, tell: Callable[[Row], str]) -> Cells:
    """Return what is told of each network, those of one cell, backend and precision in one text."""
    texts: dict[tuple[str, ...], list[str]] = {}
    for cell in result.cells:
        for row in cell.rows:
            if text := tell(row):
                key = (*_case(cell, row.backend, row.batch), row.precision)
                texts.setdefault(key, []).append(text)
    return {key: ", ".join(parts) for key, parts in texts.items()}


def _case(cell: Cell, backend: str, batch: int) -> tuple[str, ...]:
    known = (cell.case.get(name) for name in ("depth", "side_px"))
    return *(units.DASH if value is None else str(value) for value in known), str(batch), backend


def ceiling(columns: Sequence[Column]) -> str:
    """Return what each network of Fig. 8 reaches of the ceiling, and where flat reaches too little."""
    heads = ("machine", "backend", *NETWORKS, f"cells with flat below {REACHED:.0%}")
    lines = []
    for column in columns:
        result = column.get("fig8")
        rows = [(c, r) for c in result.cells for r in c.rows if r.precision == "float32"] if result else []
        for backend in dict.fromkeys(row.backend for _, row in rows):
            here = [(c, r) for c, r in rows if r.backend == backend and r.ceiling_share is not None]
            short = [c.name for c, r in here if r.subject == "flat" and (r.ceiling_share or 0.0) < REACHED]
            shares = [[r.ceiling_share or 0.0 for _, r in here if r.subject == name] for name in NETWORKS]
            told = "none" if not short else f"{len(short)}: {'; '.join(map(escaped, short))}"
            lines.append([escaped(column.name), escaped(backend), *map(_share, shares), told])
    return rows_of(heads, lines, 2) if lines else NONE_YET


def _share(shares: Sequence[float]) -> str:
    if not shares:
        return units.DASH
    ends = f"{units.percent(min(shares), 0)} to {units.percent(max(shares), 0)}"
    return f"{units.with_percent_sign(median(shares), 0)} ({ends})"


def remarks(columns: Sequence[Column]) -> str:
    """Return what was proved before each race, and what was asked for and not run, one list a machine."""
    parts = []
    for column in columns:
        cells = [cell for result in column.results.reproductions for cell in result.cells]
        lost: dict[tuple[str, str], int] = {}
        for missing in (missing for cell in cells for missing in cell.not_run):
            key = missing.what, "; ".join(filter(None, (missing.reason, missing.remedy)))
            lost[key] = lost.get(key, 0) + 1
        rejected, rounds = sum(c.rejected for c in cells), sum(c.rounds for c in cells)
        checks = len({check for cell in cells for check in cell.checks})
        lines = [
            f"**{escaped(column.name)}**: {len(cells)} races, {units.count(rounds)} rounds, "
            f"{units.count(rejected)} turns run again because the machine was disturbed, "
            f"proved equal to what they were rewritten from: {checks} networks.",
            *(
                f"- not run: {escaped(what)}{f' ({n} races)' if n > 1 else ''}: {escaped(why)}"
                for (what, why), n in lost.items()
            ),
        ]
        parts.append(lines[0] + ("\n\n" + "\n".join(lines[1:]) if lost else ""))
    return "\n\n".join(parts) or NONE_YET
