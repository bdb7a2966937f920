"""Lay out every table once, as text cells; the terminal and the page then show the same figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from juggler.nouns import (
    Certificate,
    Check,
    Decision,
    Machine,
    Quantization,
    Refusal,
    Rewrite,
    SourceCheck,
    Timing,
)
from juggler.report.kit import units
from juggler.report.kit.sheet import Column, Sheet, text_columns

if TYPE_CHECKING:
    from juggler.clock.race import Ratio
    from juggler.runtime import Speedup
    from juggler.runtime.measure.attribution import Attribution, Step
    from juggler.runtime.precision import Deviation


EAGER = "torch_eager"


def attribution_sheets(attribution: Attribution) -> tuple[Sheet, ...]:
    """Lay out the steps, one sheet a runtime, one row a form and step."""
    return tuple(_attribution_sheet(attribution, runtime) for runtime in attribution.runtimes)


def _attribution_sheet(attribution: Attribution, runtime: str) -> Sheet:
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
            *_with_interval(step.added),
            *_with_interval(step.brought),
            *_with_interval(step.against),
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


def _with_interval(ratio: Ratio | None) -> tuple[str, str]:
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


def int8_figures(quantization: Quantization) -> str:
    """Return one line: `int8 34.2 dB (at least 20.0), 99.4 % of 500 classes kept`."""
    noise = quantization.signal_to_noise_db
    text = "int8 exact" if noise is None else f"int8 {units.decimal(noise, 1)} dB"
    text += f" (at least {units.decimal(quantization.least_db, 1)})"
    if not quantization.classes_compared:
        return text
    share = units.with_percent_sign(quantization.classes_agreed / quantization.classes_compared)
    return f"{text}, {share} of {units.count(quantization.classes_compared)} classes kept"


def int8_note(quantization: Quantization) -> str:
    """Return a sentence: what quantised it, on how many inputs, how near it is, what stayed in float32."""
    by = f"{units.clean(quantization.tool)} {units.clean(quantization.release)}"
    spared = f"; in float32: {units.clean(', '.join(quantization.spared))}" if quantization.spared else ""
    return (
        f"Quantised by {by} on {units.count(quantization.calibrated)} inputs; "
        f"on {units.count(quantization.checked)} others: {int8_figures(quantization)}{spared}."
    )


def timings_sheet(timings: Sequence[Timing], speedups: Sequence[Speedup] = ()) -> Sheet:
    """Lay out the latencies; the last column compares with the first subject, all else equal.

    It is the median over paired rounds where `speedups` hold it, and the ratio of medians elsewhere.
    """
    first = timings[0].subject if timings else ""
    base = {_alike(t): t.median_ms for t in timings if t.subject == first}
    paired = {(s.subject, _alike(s)): s for s in speedups}
    with_precision = len({t.precision for t in timings}) > 1
    with_memory = any(t.peak_rss_mib is not None for t in timings)
    columns = (
        *text_columns("network", "backend", *(["precision"] if with_precision else [])),
        Column("batch", "inputs"),
        Column("median", "ms"),
        Column("p95", "ms"),
        Column("p99", "ms"),
        Column("throughput", "inputs/s"),
        *([Column("peak memory", "MiB")] if with_memory else []),
        Column(f"faster than {units.shorten(first, 6)}", "×"),
        *([Column("interval", "95 %")] if paired else []),
    )
    rows = tuple(
        (
            units.clean(t.subject),
            units.clean(t.backend),
            *([units.clean(t.precision)] if with_precision else []),
            units.count(t.batch),
            *(units.significant(v) for v in (t.median_ms, t.p95_ms, t.p99_ms)),
            units.count(t.throughput_per_s if t.median_ms else None),
            *([units.count(t.peak_rss_mib)] if with_memory else []),
            *((units.DASH,) * (1 + bool(paired)) if t.subject == first else _faster(t, base, paired)),
        )
        for t in timings
    )
    note = "Measured, times of one call; throughput is at the median."
    return Sheet("Latency", columns, rows, note=note)


_Alike = tuple[str, str, int]


def _alike(row: Timing | Speedup) -> _Alike:
    """Return what must be equal for two rows to be compared."""
    return row.backend, row.precision, row.batch


def _faster(
    timing: Timing, base: Mapping[_Alike, float], paired: Mapping[tuple[str, _Alike], Speedup]
) -> tuple[str, ...]:
    """Return the ratio and, where there are paired rounds, its interval."""
    speedup = paired.get((timing.subject, _alike(timing)))
    if speedup is not None:
        return f"{speedup.median:.2f}", f"{speedup.low:.2f}-{speedup.high:.2f}"
    ratio = units.decimal(_ratio(base, timing), 2)
    return (ratio, units.DASH) if paired else (ratio,)


def _ratio(base: Mapping[_Alike, float], timing: Timing) -> float | None:
    before = base.get(_alike(timing))
    return before / timing.median_ms if before and timing.median_ms else None


def certificate_sheet(certificate: Certificate) -> Sheet:
    """Lay out the checks of a certificate, each with its errors, its limit and whether it is within it."""
    columns = (
        *text_columns("weights", "type", "input"),
        Column("inside"),
        Column("border"),
        Column("output"),
        Column("limit"),
        *text_columns("verdict"),
    )
    within = [_within(certificate, check) for check in certificate.checks]
    rows: tuple[tuple[str, ...], ...] = tuple(
        (
            units.clean(c.weights),
            units.clean(c.dtype),
            units.shape(c.shape),
            units.error(c.inside),
            units.error(c.border),
            units.error(c.output),
            units.limit(certificate.limits.get(c.dtype)),
            "within" if ok else "EXCEEDED",
        )
        for c, ok in zip(certificate.checks, within, strict=True)
    )
    rows += tuple(_source_row(check) for check in certificate.source)
    within += [check.passed for check in certificate.source]
    notes = ["Errors are max|difference| / max|reference| of the flat network against the wide one."]
    if certificate.source:
        notes.append(
            f"Rows named file: the imported network against its file in {certificate.source[0].runtime}."
        )
    notes += [f"NOT COMPARED with the file: {units.clean(c.reason)}." for c in certificate.source if c.reason]
    if certificate.classes_compared:
        agreed, compared = units.count(certificate.classes_agreed), units.count(certificate.classes_compared)
        notes.append(f"Same predicted class on {agreed} of {compared} real inputs.")
    else:
        notes.append("No real inputs were given to compare predicted classes on.")
    if certificate.skipped:
        notes.append(f"The wide network does not accept: {units.clean(', '.join(certificate.skipped))}.")
    if certificate.int8 is not None:
        notes.append(int8_note(certificate.int8))
    row_styles = tuple("good" if ok else "bad" for ok in within)
    return Sheet("Certificate", columns, rows, row_styles, " ".join(notes))


def _source_row(check: SourceCheck) -> tuple[str, ...]:
    """Return the row that says how near an imported network is to its file."""
    shapes = " + ".join(map(units.shape, check.shapes)) or units.DASH
    verdict = "within" if check.passed else "EXCEEDED" if check.shapes else "NOT COMPARED"
    error, limit = units.error(check.error), units.limit(check.limit)
    return ("file", "float32", shapes, units.DASH, units.DASH, error, limit, verdict)


def _within(certificate: Certificate, check: Check) -> bool:
    return check.worst <= certificate.limits.get(check.dtype, -math.inf)


def rewrites_sheet(rewrites: Iterable[Rewrite]) -> Sheet:
    """Lay out the rewrites, one row a rule."""
    groups: dict[tuple[str, str], list[Rewrite]] = {}
    for rewrite in rewrites:
        groups.setdefault((rewrite.rule, rewrite.source), []).append(rewrite)
    columns = (
        *text_columns("rule", "source"),
        Column("times"),
        Column("ops replaced"),
        Column("before", "MACs"),
        Column("after", "MACs"),
        Column("worst error", "float64"),
    )
    rows = tuple(
        (
            units.clean(rule),
            units.clean(source) or units.DASH,
            units.count(len(group)),
            units.count(sum(len(r.nodes) for r in group)),
            units.macs(sum(r.macs_before for r in group)),
            units.macs(sum(r.macs_after for r in group)),
            units.error(_worst([r.error for r in group])),
        )
        for (rule, source), group in groups.items()
    )
    note = "Rewrites build on one another: an op can be counted by several, so the rows do not add up."
    return Sheet("Rewrites", columns, rows, note=note)


def _worst(errors: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, errors)) else max(errors)


def refusals_sheet(refusals: Iterable[Refusal]) -> Sheet:
    """Lay out the refusals, one row a reason, with what the network's owner can do."""
    groups: dict[tuple[str, str, str], list[Refusal]] = {}
    for refusal in refusals:
        groups.setdefault((refusal.rule, refusal.reason, refusal.remedy), []).append(refusal)
    rows = tuple(
        (
            units.clean(rule),
            units.count(len(group)),
            units.shorten(", ".join(group[0].nodes), 48) + (" …" if len(group) > 1 else ""),
            units.clean(reason),
            units.clean(remedy),
        )
        for (rule, reason, remedy), group in groups.items()
    )
    columns = (*text_columns("rule"), Column("times"), *text_columns("at", "why not", "what to do"))
    return Sheet("Refusals", columns, rows)


def machine_sheet(machine: Machine) -> Sheet:
    """Lay out the machine and the releases that the measurements belong to."""
    rows = [
        ("processor", units.clean(machine.cpu)),
        ("cores", units.count(machine.cores)),
        ("memory", f"{units.decimal(machine.memory_gib, 1)} GiB"),
        ("accelerator", units.clean(machine.accelerator or "none")),
        ("system", units.clean(machine.system)),
        ("Python", units.clean(machine.python)),
        *((units.clean(name), units.clean(release)) for name, release in machine.packages.items()),
    ]
    return Sheet("Machine", text_columns("part", "value"), tuple(rows))
