"""Where the gain comes from: how much of a flat network's speed is less work, and what is left for shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from juggler.report.kit import units
from juggler.report.kit.sheet import Column, Sheet

if TYPE_CHECKING:
    from juggler.reproduce.results import Cell, Comparison, Reproduction


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
