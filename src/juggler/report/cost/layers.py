"""Lay out what a network costs: totals, the layer table, what was not counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from juggler.report.kit import units
from juggler.report.kit.sheet import Column, Sheet

if TYPE_CHECKING:
    from juggler.cost.layers import Layer
    from juggler.cost.roofline import Ceilings
    from juggler.count.counted import Counted

NAME_CHARS = 44
_BYTES = (Column("weights", "MB"), Column("activations", "MB"), Column("live", "MB"))
PAGE_NOTE = (
    "Operations are multiplications and additions, a MAC being two of them, comparisons, and evaluations of "
    "functions. Bytes are those that an operator reads and writes, each tensor once, in the network's own "
    "element types."
)


def mega(elements: float) -> str:
    """Return 10^6 of something: `25.6`."""
    return units.significant(elements / 1e6)


def totals_sheet(counted: Counted, layers: Sequence[Layer], ceilings: Ceilings | None) -> Sheet:
    """Lay out what the whole network costs, and how it was counted."""
    batch = counted.input_shapes[0][0] if counted.input_shapes[0] else 1
    rows = [
        ("input", ", ".join(map(units.shape, counted.input_shapes))),
        ("parameters", units.count(counted.parameters)),
        ("batch-norm statistics and other constants", units.count(counted.statistics)),
        ("MACs", f"{units.count(counted.macs)} ({units.macs(counted.macs)})"),
        ("additions beside them", units.count(counted.additions)),
        ("multiplications beside them", units.count(counted.multiplications)),
        (
            "operations (a MAC is two)",
            f"{units.count(counted.operations)} ({units.macs(counted.operations)})",
        ),
        ("weights", f"{mega(counted.param_bytes)} MB"),
        ("activations written", f"{mega(counted.activation_bytes)} MB"),
        ("activations at the peak", f"{mega(counted.peak_activation_bytes)} MB"),
        ("read and written", f"{mega(counted.moved_bytes)} MB"),
        ("intensity", f"{units.significant(counted.intensity)} operations a byte"),
        ("operators not counted", units.count(sum(op.times for op in counted.uncounted))),
    ]
    if ceilings is not None:
        least_ms = sum(layer.least_ms or 0.0 for layer in layers)
        rows += [
            (
                "ceilings",
                f"{units.significant(ceilings.gflop_per_s)} GFLOP/s, {units.significant(ceilings.gb_per_s)} "
                f"GB/s, {units.significant(ceilings.overhead_us)} µs an operator ({ceilings.source})",
            ),
            (f"least time, batch {batch}", f"{units.significant(least_ms)} ms (modelled)"),
        ]
    how = "on its graph" if counted.how == "graph" else "by running it"
    columns = (Column("what", numeric=False), Column("value", numeric=False))
    note = " ".join(filter(None, (f"Counted {how}, by shapes and in order of execution.", counted.note)))
    return Sheet("Totals", columns, tuple((name, units.clean(value)) for name, value in rows), note=note)


def layers_sheet(layers: Sequence[Layer], *, shown: int | None = None, narrow: bool = False) -> Sheet:
    """Lay out the layer table; with ceilings, the bound of each row and the least that it can take.

    Args:
        layers: the rows.
        shown: how many of them; None is all.
        narrow: for a terminal: without output shapes and live memory, and with all bytes in one column.
    """
    has_bounds = any(layer.bound for layer in layers)
    shown_layers = layers if shown is None else layers[:shown]
    columns = (
        Column("layer", numeric=False),
        Column("kind", numeric=False),
        *(() if narrow else (Column("output", numeric=False),)),
        Column("MACs"),
        Column("parameters"),
        *((Column("moved", "MB"),) if narrow else _BYTES),
        Column("intensity", "op/B"),
        *((Column("least", "ms"), Column("bound", numeric=False)) if has_bounds else ()),
    )
    rows = tuple(
        (
            units.shorten(layer.name, NAME_CHARS),
            units.clean(layer.kind),
            *(() if narrow else (units.shape(layer.out_shape),)),
            units.macs(layer.macs) if layer.macs else units.DASH,
            units.count(layer.parameters) if layer.parameters else units.DASH,
            *map(mega, _bytes(layer, narrow=narrow)),
            units.significant(layer.intensity),
            *((units.significant(layer.least_ms), layer.bound) if has_bounds else ()),
        )
        for layer in shown_layers
    )
    notes = [PAGE_NOTE]
    if has_bounds:
        notes.append("Least time and bound are modelled by the roofline, not measured.")
    if len(shown_layers) < len(layers):
        notes.append(f"The first {len(shown_layers)} of {len(layers)} rows.")
    return Sheet("Layers", columns, rows, note=" ".join(notes))


def _bytes(layer: Layer, *, narrow: bool) -> tuple[int, ...]:
    return (layer.moved_bytes,) if narrow else (layer.weight_bytes, layer.activation_bytes, layer.live_bytes)


def uncounted_sheet(counted: Counted) -> Sheet:
    """Lay out the operators whose arithmetic is in no count."""
    columns = (Column("operator", numeric=False), Column("times"), Column("first in", numeric=False))
    rows = tuple(
        (units.clean(op.operator), units.count(op.times), units.shorten(op.where, NAME_CHARS))
        for op in counted.uncounted
    )
    note = "Their arithmetic is in no figure above; the bytes that they move are."
    return Sheet("Not counted", columns, rows, ("bad",) * len(rows), note)


def bounds_sheet(layers: Sequence[Layer]) -> Sheet:
    """Lay out how much of the modelled time is bound by what."""
    total_ms = sum(layer.least_ms or 0.0 for layer in layers)
    bounds = dict.fromkeys(layer.bound for layer in layers if layer.bound)
    columns = (Column("bound", numeric=False), Column("layers"), Column("least", "ms"), Column("share", "%"))
    rows = []
    for bound in bounds:
        times_ms = [layer.least_ms or 0.0 for layer in layers if layer.bound == bound]
        share = sum(times_ms) / total_ms if total_ms else None
        rows.append(
            (bound, units.count(len(times_ms)), units.significant(sum(times_ms)), units.percent(share))
        )
    return Sheet("Bounds", columns, tuple(rows), note="Modelled by the roofline, not measured.")


def write_costs(
    source: str, counted: Counted, layers: Sequence[Layer], ceilings: Ceilings | None, path: Path
) -> Path:
    """Write the page of one network and return its path.

    Raises:
        ConfigError: nothing can be written there.
    """
    from juggler.report.cost.sweep import roofline_drawing  # noqa: PLC0415  # needs matplotlib
    from juggler.report.kit.page import Page, Section, write_page  # noqa: PLC0415  # needs jinja2

    sections = [Section("Totals", sheets=(totals_sheet(counted, layers, ceilings),))]
    if ceilings is not None:
        drawing = roofline_drawing(layers, ceilings)
        sections.append(Section("Roofline", drawings=(drawing,), sheets=(bounds_sheet(layers),)))
    sections.append(Section("Layers", sheets=(layers_sheet(layers),)))
    if counted.uncounted:
        sections.append(Section("Not counted", sheets=(uncounted_sheet(counted),)))
    notices = (counted.note,) if counted.note else ()
    work, held = units.macs(counted.macs), mega(counted.parameters)
    summary = f"{work} MACs, {held} M parameters, {len(layers)} layers"
    return write_page(Page(f"{source}: what it costs", summary, notices, tuple(sections)), path)
