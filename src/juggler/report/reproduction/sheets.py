"""Lay out the paper's tables and figures, and the gain, as text; published values have their own columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from juggler.errors import ConfigError
from juggler.report.kit import units
from juggler.report.kit.sheet import Column, Sheet

if TYPE_CHECKING:
    from juggler.reproduce.results import Cell, Comparison, Published, Reproduction, Row


MERGED = " merged"
PAPER_BATCH = 32  # of Table II as it says; of Table III as its counts of work say
_CEILING = "Ceiling: share of a matrix product's GFLOP/s in the same race."


def reproduction_sheet(result: Reproduction) -> Sheet:
    """Lay out one experiment, such as a table of the paper.

    Raises:
        ConfigError: there is no table of such an experiment.
    """
    makers: dict[str, Callable[[Reproduction], Sheet]] = {
        "table2": _rates_sheet,
        "table3": _rates_sheet,
        "layers": _rates_sheet,
        "merge_penalty": _merge_sheet,
        "fig8": _depths_sheet,
        "fig9": _batches_sheet,
    }
    if result.experiment not in makers:
        raise ConfigError(f"show {result.experiment}", "no such table", f"There is {', '.join(makers)}")
    return makers[result.experiment](result)


def _rates_sheet(result: Reproduction) -> Sheet:
    """Lay out Table II or III, or layers: work, latency and rate of each module or convolution."""
    said = {(p.subject, p.quantity): p for p in result.published}
    columns = (
        Column("what", numeric=False),
        Column("backend", numeric=False),
        Column("batch"),
        Column("work", "GMAC"),
        Column("median", "ms"),
        Column("rate", "GMAC/s"),
        Column("ceiling", "%"),
        *((Column("published", "ms"), Column("published", "GMAC/s")) if said else ()),
    )
    rows = tuple(
        (
            units.clean(row.subject),
            units.clean(row.backend),
            units.count(row.batch),
            units.significant(_gmacs(cell, row)),
            units.significant(row.median_ms),
            units.significant(row.gmac_per_s),
            units.percent(row.ceiling_share, 0),
            *(
                units.significant(_value(said, row.subject, quantity))
                for quantity in (("latency_ms", "gmac_per_s") if said else ())
            ),
        )
        for cell in result.cells
        for row in cell.rows
        if row.precision == "float32"
    )
    note = f"{_CEILING} {_published_on(result)} Its ms are for batch {PAPER_BATCH}." if said else _CEILING
    return Sheet(result.title, columns, rows, note=note)


def _gmacs(cell: Cell, row: Row) -> float | None:
    shape = cell.shapes.get(row.subject)
    return shape.macs * row.batch / 1e9 if shape else None


def _value(said: Mapping[tuple[str, str], Published], subject: str, quantity: str) -> float | None:
    published = said.get((subject, quantity))
    return published.value if published else None


def _published_on(result: Reproduction) -> str:
    """Return whose device published values were measured on, and where they stand."""
    places = dict.fromkeys(f"{p.device} ({p.source})" for p in result.published)
    return f"Published: the paper's own, on {'; '.join(map(units.clean, places))}." if places else ""


def _merge_sheet(result: Reproduction) -> Sheet:
    """Lay out what merging a block outright costs, on each backend."""
    batches = {comparison.batch for cell in result.cells for comparison in cell.comparisons}
    columns = (
        Column("block", numeric=False),
        Column("backend", numeric=False),
        *((Column("batch"),) if len(batches) > 1 else ()),
        Column("block", "ms"),
        Column("merged", "ms"),
        Column("latency", "×"),
        Column("interval", "95 %"),
        Column("MACs", "×"),
        Column("parameters", "×"),
        Column("published parameters", "×"),
    )
    said = {(p.subject, p.quantity): p for p in result.published}
    rows = []
    for cell in result.cells:
        for comparison in cell.comparisons:
            if comparison.subject != comparison.against + MERGED or comparison.precision != "float32":
                continue
            before, after = (
                cell.row(s, comparison.backend, comparison.batch)
                for s in (comparison.against, comparison.subject)
            )
            shapes = cell.shapes.get(comparison.against), cell.shapes.get(comparison.subject)
            work = shapes[1].macs / shapes[0].macs if shapes[0] and shapes[1] else None
            parameters = shapes[1].parameters / shapes[0].parameters if shapes[0] and shapes[1] else None
            rows.append(
                (
                    units.clean(comparison.against),
                    units.clean(comparison.backend),
                    *((units.count(comparison.batch),) if len(batches) > 1 else ()),
                    *(units.significant(row.median_ms if row else None) for row in (before, after)),
                    units.decimal(1 / comparison.times, 2),
                    span((1 / comparison.high, 1 / comparison.low)),
                    units.decimal(work, 2),
                    units.decimal(parameters, 2),
                    units.decimal(_value(said, comparison.subject, "parameter_ratio"), 2),
                )
            )
    at = f"Batch {batches.pop()}. " if len(batches) == 1 else ""
    return Sheet(result.title, columns, tuple(rows), note=f"{at}{_merge_note(result)}")


def _merge_note(result: Reproduction) -> str:
    """Return the published range of the latency penalty, in words."""
    ends = {p.quantity: p.value for p in result.published}
    low, high = ends.get("latency_penalty_low"), ends.get("latency_penalty_high")
    said = f" Published: {units.percent(low)} to {units.percent(high)} % slower." if low and high else ""
    return f"All ratios are merged over block: above 1 the merged one is slower or larger.{said}"


def _depths_sheet(result: Reproduction) -> Sheet:
    """Lay out Fig. 8: flat against plain in every precision, one row a cell, backend and precision."""
    columns = (
        Column("depth"),
        Column("side", "px"),
        Column("batch"),
        Column("backend", numeric=False),
        Column("precision", numeric=False),
        Column("plain", "ms"),
        Column("flat", "ms"),
        Column("as fast", "×"),
        Column("interval", "95 %"),
        Column("MACs", "×"),
        Column("ceiling flat", "%"),
    )
    rows = []
    for cell in result.cells:
        for comparison in cell.comparisons:
            if (comparison.subject, comparison.against) != ("flat", "plain"):
                continue
            plain, flat = (
                cell.row(s, comparison.backend, comparison.batch, comparison.precision)
                for s in ("plain", "flat")
            )
            work = cell.shapes.get("plain"), cell.shapes.get("flat")
            rows.append(
                (
                    str(cell.case.get("depth", units.DASH)),
                    str(cell.case.get("side_px", units.DASH)),
                    units.count(comparison.batch),
                    units.clean(comparison.backend),
                    units.clean(comparison.precision),
                    *(units.significant(row.median_ms if row else None) for row in (plain, flat)),
                    units.decimal(comparison.times, 2),
                    span((comparison.low, comparison.high)),
                    units.decimal(work[0].macs / work[1].macs if work[0] and work[1] else None, 2),
                    units.percent(flat.ceiling_share if flat else None, 0),
                )
            )
    note = f"Flat against plain. {_CEILING} {_depths_published(result)}"
    return Sheet(result.title, columns, tuple(rows), note=note)


def _depths_published(result: Reproduction) -> str:
    """Return the published ranges of Fig. 8 in words."""
    lows = {p.device: p.value for p in result.published if p.quantity == "times_low"}
    highs = [p for p in result.published if p.quantity == "times_high"]
    said = [
        f"{lows[p.device]:g} to {p.value:g} times as fast on {p.device}"
        if p.device in lows
        else f"up to {p.value:g} on {p.device}"
        for p in highs
    ]
    return f"Published: {'; '.join(said)}." if said else ""


def _batches_sheet(result: Reproduction) -> Sheet:
    """Lay out Fig. 9: peak throughput and the deepest dip at 2^n + 2, one row a backend and network."""
    columns = (
        Column("backend", numeric=False),
        Column("network", numeric=False),
        Column("side", "px"),
        Column("peak", "inputs/s"),
        Column("at batch"),
        Column("at batch 1", "inputs/s"),
        Column("2ⁿ+2 over 2ⁿ, least", "×"),
        Column("interval", "95 %"),
        Column("at batch"),
    )
    rows = []
    for cell, backend, subject in curves(result):
        points = [r for r in cell.rows if (r.backend, r.subject) == (backend, subject)]
        best = max(points, key=lambda row: row.throughput_per_s)
        first = cell.row(subject, backend, 1)
        dips = [
            f
            for f in cell.comparisons
            if (f.subject, f.against, f.backend) == (subject, subject, backend)
            and f.batch == f.against_batch + 2
        ]
        dip = min(dips, key=lambda f: f.times, default=None)
        rows.append(
            (
                units.clean(backend),
                units.clean(subject),
                str(cell.case.get("side_px", units.DASH)),
                units.significant(best.throughput_per_s),
                units.count(best.batch),
                units.significant(first.throughput_per_s if first else None),
                units.decimal(dip.times if dip else None, 2),
                span((dip.low, dip.high)) if dip else units.DASH,
                units.count(dip.batch if dip else None),
            )
        )
    return Sheet(result.title, columns, tuple(rows), note=batches_note(result))


def curves(result: Reproduction) -> list[tuple[Cell, str, str]]:
    """Return cell, backend and network of each curve of Fig. 9."""
    return [
        (cell, backend, subject)
        for cell in result.cells
        for backend in dict.fromkeys(row.backend for row in cell.rows)
        for subject in dict.fromkeys(row.subject for row in cell.rows if row.backend == backend)
    ]


def batches_note(result: Reproduction) -> str:
    """Return what the paper says of Fig. 9, one line a device."""
    words = {
        "peak_batch": "{0} peaks at batch {1:g}",
        "peak_throughput_ratio": "{0} at its peak {1:g} times plain at its own",
        "dip_at_18": "{0} {2:.2f} % less at batch 18 than at 16",
    }
    lines: dict[str, list[str]] = {}
    for p in result.published:
        form = words.get(p.quantity, f"{{0}} {p.quantity.replace('_', ' ')} {{1:g}}")
        lines.setdefault(p.device, []).append(form.format(p.subject, p.value, p.value * 100))
    return "\n".join(f"Published ({device}): {'; '.join(said)}." for device, said in lines.items())


@dataclass(frozen=True)
class Gain:
    """Plain over flat at one depth, size, batch and backend, in float32; None where it was not counted.

    Attributes:
        macs: how many times the multiply-accumulates plain has.
        times: how many times as fast flat is; `low` and `high` bound the 95 % interval.
        kernels: how many times as many kernels plain launches.
        moved: how many times as many bytes plain's kernels read and write.
        plain_share: what plain reaches of the machine's ceiling.
        flat_share: what flat reaches of it.
    """

    depth: int
    side_px: int
    batch: int
    backend: str
    macs: float
    times: float
    low: float
    high: float
    kernels: float | None
    moved: float | None
    plain_share: float | None
    flat_share: float | None

    @property
    def shape(self) -> float:
        """Return what is left of the gain once the work is taken out: 1 where all of it was less work."""
        return self.times / self.macs

    @property
    def shape_interval(self) -> tuple[float, float]:
        """Return the 95 % interval of `shape`; work is counted, so all of the doubt is in the latency."""
        return self.low / self.macs, self.high / self.macs


def gains(result: Reproduction) -> tuple[Gain, ...]:
    """Return a gain for every cell and backend of Fig. 8 that has plain, flat and both their shapes."""
    return tuple(
        _gain(cell, comparison)
        for cell in result.cells
        for comparison in cell.comparisons
        if (comparison.subject, comparison.against, comparison.precision) == ("flat", "plain", "float32")
        and comparison.batch == comparison.against_batch
        and {"plain", "flat"} <= set(cell.shapes)
        and cell.shapes["flat"].macs > 0
    )


def _gain(cell: Cell, comparison: Comparison) -> Gain:
    plain, flat = cell.shapes["plain"], cell.shapes["flat"]
    rows = [cell.row(subject, comparison.backend, comparison.batch) for subject in ("plain", "flat")]
    return Gain(
        cell.case.get("depth", 0),
        cell.case.get("side_px", 0),
        comparison.batch,
        comparison.backend,
        plain.macs / flat.macs,
        comparison.times,
        comparison.low,
        comparison.high,
        plain.kernels / flat.kernels if flat.kernels else None,
        plain.moved_bytes / flat.moved_bytes if flat.moved_bytes else None,
        *(row.ceiling_share if row else None for row in rows),
    )


def gain_sheet(result: Reproduction) -> Sheet:
    """Lay out where the gain comes from, one row a depth, size, batch and backend."""
    columns = (
        Column("depth"),
        Column("side", "px"),
        Column("batch"),
        Column("backend", numeric=False),
        Column("as fast", "×"),
        Column("interval", "95 %"),
        Column("MACs", "×"),
        Column("left for shape", "×"),
        Column("interval", "95 %"),
        Column("kernels", "×"),
        Column("bytes", "×"),
        Column("ceiling plain", "%"),
        Column("ceiling flat", "%"),
    )
    rows = tuple(
        (
            str(gain.depth),
            str(gain.side_px),
            str(gain.batch),
            units.clean(gain.backend),
            units.decimal(gain.times, 2),
            span((gain.low, gain.high)),
            units.decimal(gain.macs, 2),
            units.decimal(gain.shape, 2),
            span(gain.shape_interval),
            units.decimal(gain.kernels, 2),
            units.decimal(gain.moved, 2),
            units.percent(gain.plain_share, 0),
            units.percent(gain.flat_share, 0),
        )
        for gain in gains(result)
    )
    note = (
        "All ratios are plain over flat: time, multiply-accumulates, kernels, bytes read and written. "
        "Left for shape: as fast / MACs, 1 where all of the gain is less work. Ceiling: share of "
        "what a matrix product reached in the same race."
    )
    return Sheet("Where the gain comes from, float32", columns, rows, note=note)


def span(ends: tuple[float, float]) -> str:
    """Return an interval."""
    return f"{units.decimal(ends[0], 2)}-{units.decimal(ends[1], 2)}"
