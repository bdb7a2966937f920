"""Lay out where a network's speed comes from, and what was decided about each of its linear regions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from juggler.nouns import Decision
from juggler.report.kit import units
from juggler.report.kit.sheet import Column, Sheet

if TYPE_CHECKING:
    from juggler.clock.race import Ratio
    from juggler.runtime.measure.attribution import Attribution, Step
    from juggler.runtime.precision import Deviation

EAGER = "torch_eager"


def attribution_sheets(attribution: Attribution) -> tuple[Sheet, ...]:
    """Lay out the steps, one sheet a runtime, one row a form and step."""
    return tuple(_sheet(attribution, runtime) for runtime in attribution.runtimes)


def _sheet(attribution: Attribution, runtime: str) -> Sheet:
    columns = (
        Column("form", numeric=False),
        Column("step", numeric=False),
        Column("median", "ms"),
        Column("step adds", "×"),
        Column("interval", "95 %"),
        Column("flat adds", "×"),
        Column("interval", "95 %"),
        Column("as fast", "×"),
        Column("interval", "95 %"),
        Column("signal to noise", "dB"),
    )
    rows = tuple(
        (
            units.clean(step.form),
            step_name(step),
            units.significant(step.timing.median_ms),
            *_ratio(step.added),
            *_ratio(step.brought),
            *_ratio(step.against),
            _decibels(step.deviation),
        )
        for step in attribution.steps
        if step.runtime == runtime
    )
    name = units.clean(runtime)
    inputs = f"{attribution.calibrated} real inputs" if attribution.calibrated else "random inputs"
    note = (
        "Step adds: times as fast as the step before, on its path. Flat adds: as the original at the same "
        f"step. As fast: as what {name} makes of the original in float32. Signal to noise: of the answers, "
        f"against the original in eager; int8 is calibrated on {inputs}. Batch {attribution.shape[0]}."
    )
    return Sheet(f"Where the speed comes from, {name}", columns, rows, note=note)


def step_name(step: Step) -> str:
    """Return `eager`, `runtime` or `int8`."""
    if step.timing.backend == EAGER:
        return "eager"
    return "runtime" if step.timing.precision == "float32" else units.clean(step.timing.precision)


def _ratio(ratio: Ratio | None) -> tuple[str, str]:
    if ratio is None:
        return units.DASH, units.DASH
    return units.decimal(ratio.median, 2), f"{units.decimal(ratio.low, 2)}-{units.decimal(ratio.high, 2)}"


def _decibels(deviation: Deviation | None) -> str:
    if deviation is None:
        return units.DASH
    return "same" if deviation.signal_to_noise_db is None else units.decimal(deviation.signal_to_noise_db, 0)


def decisions_sheet(decisions: Iterable[Decision]) -> Sheet:
    """Lay out what was decided about each linear region, one row each; latencies where they were asked."""
    decisions = tuple(decisions)
    timed = any(d.latency_before_ms is not None or d.latency_after_ms is not None for d in decisions)
    columns = (
        Column("region", numeric=False),
        Column("form", numeric=False),
        Column("before", "MACs"),
        Column("after", "MACs"),
        *((Column("before", "ms"), Column("after", "ms")) if timed else ()),
        Column("why", numeric=False),
    )
    rows = tuple(
        (
            units.shorten(d.region, 40),
            units.clean(d.form),
            units.macs(d.macs_before),
            units.macs(d.macs_after),
            *(
                (units.significant(d.latency_before_ms), units.significant(d.latency_after_ms))
                if timed
                else ()
            ),
            units.clean(d.reason),
        )
        for d in decisions
    )
    note = "A region is named by its first and its last op; the form is the one that was taken."
    return Sheet("Decisions", columns, rows, note=note)
