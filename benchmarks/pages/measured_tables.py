"""The tables of docs/reference/measured.md: the published column, said to be so, and one a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from benchmarks.machine_files import Column
from benchmarks.pages.blocks import folded
from juggler.report.kit import units
from juggler.report.kit.sheet import Sheet
from juggler.report.reproduction.figures import dips
from juggler.report.reproduction.sheets import MERGED, PAPER_BATCH, curves, gain_sheet, gains
from juggler.reproduce.results import Cell, Reproduction, Row

Key = tuple[str, ...]
Cells = Mapping[Key, str]
NONE_YET = "*No machine has been measured yet.*"
MAIN = (224, 1)


def escaped(text: object) -> str:
    """Return text that is nothing but text in a table of a page."""
    plain = units.clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\|`*_[]!" else c for c in plain)


def rows_of(heads: Sequence[str], lines: Sequence[Sequence[str]], words: int = 1) -> str:
    """Return a table; the first columns hold words, the others numbers."""
    rule = ["---"] * words + ["--:"] * (len(heads) - words)
    return "\n".join("| " + " | ".join(line) + " |" for line in (heads, rule, *lines))


def side_by_side(
    heads: Sequence[str],
    columns: Sequence[Column],
    experiment: str,
    cells: Callable[[Reproduction], Cells],
    published: Callable[[Reproduction], tuple[str, Callable[[Key], str]]] | None = None,
) -> str:
    """Return a table with one column a machine; `published` gives the header and the text of a row."""
    found = {c.name: (c, result) for c in columns if (result := c.get(experiment))}
    if not found:
        return NONE_YET
    texts = {name: cells(result) for name, (_, result) in found.items()}
    keys = list(dict.fromkeys(key for cell in texts.values() for key in cell))
    if not keys:
        return "*Nothing to show.*"
    first = next(iter(found.values()))[1]
    head, say = published(first) if published else ("", lambda key: "")
    lines = [
        [*map(escaped, key), *([say(key)] if head else []), *(t.get(key, units.DASH) for t in texts.values())]
        for key in keys
    ]
    return rows_of([*heads, *([escaped(head)] if head else []), *map(escaped, texts)], lines, len(heads))


def machines(columns: Sequence[Column]) -> str:
    """Return one row a machine: what it is and what it can do at best."""
    heads = (
        *("machine", "processor", "cores, memory", "software", "sizes, threads"),
        *("matrix product, GFLOP/s", "copy, GB/s"),
    )
    lines = []
    for column in columns:
        first = next(iter(column.results.reproductions), None)
        if first is None:
            continue
        here = first.machine
        unit = ", ".join(filter(None, (here.cpu, here.accelerator)))
        software = ", ".join(
            [here.system, f"Python {here.python}", *(f"{k} {v}" for k, v in here.packages.items())]
        )
        lines.append(
            [
                f"{escaped(column.name)} ({escaped(first.date[:10])})",
                escaped(unit),
                f"{here.cores}, {here.memory_gib:g} GiB",
                escaped(software),
                _settings(first),
                _ceilings(column),
                units.significant(
                    median(result.bandwidth_gb_per_s for result in column.results.reproductions)
                ),
            ]
        )
    return rows_of(heads, lines, 5) if lines else NONE_YET


def _settings(result: Reproduction) -> str:
    sizes = "the paper's" if result.settings.get("paper") else "small"
    threads = result.settings.get("threads")
    return f"{sizes}, {'all cores' if threads is None else escaped(threads)}"


def _ceilings(column: Column) -> str:
    found: dict[str, list[float]] = {}
    for cell in (cell for result in column.results.reproductions for cell in result.cells):
        for precision, value in cell.ceilings.items():
            found.setdefault(precision, []).append(value)
    return ", ".join(f"{escaped(p)} {units.significant(median(v))}" for p, v in found.items()) or units.DASH


def rates(columns: Sequence[Column], experiment: str) -> str:
    """Return Table II or III: GMAC/s, and in brackets ms and the share of the ceiling."""

    def cells(result: Reproduction) -> Cells:
        return {
            (row.subject, row.backend, str(row.batch)): f"**{units.significant(row.gmac_per_s)}** "
            f"({units.significant(row.median_ms)} ms, {units.with_percent_sign(row.ceiling_share, 0)})"
            for _, row in _rows(result)
        }

    def published(result: Reproduction) -> tuple[str, Callable[[Key], str]]:
        said = {(p.subject, p.quantity): p.value for p in result.published}
        devices = dict.fromkeys(p.device for p in result.published)
        head = f"published: {', '.join(devices)}, batch {PAPER_BATCH}" if devices else ""

        def say(key: Key) -> str:
            rate, ms = (said.get((key[0], quantity)) for quantity in ("gmac_per_s", "latency_ms"))
            return f"{units.significant(rate, 4)} ({units.significant(ms)} ms)"

        return head, say

    return side_by_side(("what", "backend", "batch"), columns, experiment, cells, published)


def _rows(result: Reproduction) -> list[tuple[Cell, Row]]:
    return [(cell, row) for cell in result.cells for row in cell.rows if row.precision == "float32"]


def merging(columns: Sequence[Column]) -> str:
    """Return the latency of the merged block over that of the block."""

    def cells(result: Reproduction) -> Cells:
        return {
            (found.against, _growth(cell, found.against), found.backend, str(found.batch)): _interval(
                1 / found.times, 1 / found.high, 1 / found.low
            )
            for cell in result.cells
            for found in cell.comparisons
            if found.subject == found.against + MERGED and found.precision == "float32"
        }

    def published(result: Reproduction) -> tuple[str, Callable[[Key], str]]:
        ends = {p.quantity: p for p in result.published if p.quantity.startswith("latency_penalty")}
        low, high = (ends.get(f"latency_penalty_{end}") for end in ("low", "high"))
        grown = {p.subject: p.value for p in result.published if p.quantity == "parameter_ratio"}
        if low is None or high is None:
            return "", lambda key: ""
        span = f"{1 + low.value:.3f} to {1 + high.value:.3f}"
        return (
            f"published: {low.device}",
            lambda key: f"{span}; parameters ×{units.decimal(grown.get(key[0] + MERGED), 2)}",
        )

    heads = ("block", "merged: parameters, MACs", "backend", "batch")
    return side_by_side(heads, columns, "merge_penalty", cells, published)


def _growth(cell: Cell, block: str) -> str:
    before, after = cell.shapes.get(block), cell.shapes.get(block + MERGED)
    if not before or not after:
        return units.DASH
    return f"×{after.parameters / before.parameters:.2f}, ×{after.macs / before.macs:.2f}"


def _interval(value: float, low: float, high: float) -> str:
    return f"**{value:.2f}** ({low:.2f} to {high:.2f})"


def depths(columns: Sequence[Column]) -> str:
    """Return Fig. 8: how many times as fast flat is, the main size first, the others folded away."""

    def table(*, main: bool) -> str:
        def cells(result: Reproduction) -> Cells:
            return {
                (str(g.depth), str(g.side_px), str(g.batch), f"{g.macs:.2f}", g.backend): _interval(
                    g.times, g.low, g.high
                )
                for g in gains(result)
                if ((g.side_px, g.batch) == MAIN) == main
            }

        def published(result: Reproduction) -> tuple[str, Callable[[Key], str]]:
            lows = {p.device: p.value for p in result.published if p.quantity == "times_low"}
            ranges = [
                (p.device, f"{lows[p.device]:g} to {p.value:g}")
                for p in result.published
                if p.quantity == "times_high" and p.device in lows
            ]
            return (f"published: {ranges[0][0]}", lambda key: ranges[0][1]) if ranges else ("", str)

        heads = ("depth", "px", "batch", "ratio of MACs", "backend")
        return side_by_side(heads, columns, "fig8", cells, published)

    if not any(column.get("fig8") for column in columns):
        return NONE_YET
    return "\n\n".join([table(main=True), folded("Other sizes and batches", table(main=False))])


def batches(columns: Sequence[Column]) -> str:
    """Return Fig. 9: where the peaks are, how far apart, and what 2^n + 2 costs."""

    def cells(result: Reproduction) -> Cells:
        texts: dict[Key, str] = {}
        peaks: dict[tuple[str, str, str], Row] = {}
        for cell, backend, subject in curves(result):
            rows = [r for r in cell.rows if (r.backend, r.subject) == (backend, subject)]
            best = max(rows, key=lambda row: row.throughput_per_s)
            place = (backend, str(cell.case.get("side_px", units.DASH)))
            peaks[*place, subject] = best
            texts[*place, f"{subject}: batch of its peak"] = (
                f"**{best.batch}** ({units.significant(best.throughput_per_s)} inputs/s)"
            )
            own = [d for d in dips(cell) if (d.subject, d.backend) == (subject, backend)]
            at18 = next((d for d in own if d.batch == 18), None)
            if at18:
                texts[*place, f"{subject}: 18 over 16"] = _interval(at18.times, at18.low, at18.high)
            sure = [f"{d.batch} ({(d.times - 1) * 100:.1f} %)" for d in own if d.high < 1]
            texts[*place, f"{subject}: dips at 2^n + 2 beyond doubt"] = ", ".join(sure) or "none"
        for backend, side, subject in list(peaks):
            plain = peaks.get((backend, side, "plain"))
            if subject == "flat" and plain:
                ratio = peaks[backend, side, "flat"].throughput_per_s / plain.throughput_per_s
                texts[backend, side, "flat at its peak over plain at its own"] = f"**{ratio:.2f}**"
        return texts

    def published(result: Reproduction) -> tuple[str, Callable[[Key], str]]:
        quantities: dict[str, tuple[str, str, Callable[[float], str]]] = {
            "plain: batch of its peak": ("plain", "peak_batch", lambda v: f"{v:g}"),
            "flat: batch of its peak": ("flat", "peak_batch", lambda v: f"{v:g}"),
            "flat at its peak over plain at its own": ("flat", "peak_throughput_ratio", lambda v: f"{v:g}"),
            "plain: 18 over 16": ("plain", "dip_at_18", lambda v: f"{1 - v:.3f}"),
        }

        def say(key: Key) -> str:
            subject, quantity, show = quantities.get(key[2], ("", "", "{:g}".format))
            said = [p for p in result.published if (p.subject, p.quantity) == (subject, quantity)]
            short = ", ".join(f"{show(p.value)} ({p.device.removeprefix('NVIDIA ')})" for p in said)
            return short or units.DASH

        return ("published: NVIDIA V100 and Tx2", say) if result.published else ("", say)

    return side_by_side(("backend", "px", "what"), columns, "fig9", cells, published)


def gain(columns: Sequence[Column]) -> str:
    """Return where the gain comes from, one table a machine."""
    parts = []
    for column in columns:
        result = column.get("fig8")
        if result is None or not gains(result):
            continue
        sheet = gain_sheet(result)
        main = [row for row in sheet.rows if row[1:3] == tuple(map(str, MAIN))]
        rest = [row for row in sheet.rows if row not in main]
        parts.append(f"**{escaped(column.name)}**\n\n{_sheet(sheet, main)}" if main else "")
        parts.append(
            folded(f"{escaped(column.name)}, other sizes and batches", _sheet(sheet, rest)) if rest else ""
        )
    return "\n\n".join(filter(None, parts)) or NONE_YET


def _sheet(sheet: Sheet, rows: Sequence[Sequence[str]]) -> str:
    heads = [f"{c.name}, {c.unit}" if c.unit else c.name for c in sheet.columns]
    return rows_of(heads, [[*map(escaped, row)] for row in rows], 0)
