"""Attribution and decisions: tables, the picture, the page."""

from __future__ import annotations

import dataclasses
import io
import re

import pytest
from rich.console import Console
from rich.table import Table

from juggler.clock.race import Ratio
from juggler.nouns import Decision, Machine, Skipped
from juggler.report import Story, attribution_figure, attribution_tables, decisions_table, render
from juggler.runtime.measure.attribution import Attribution, Step
from juggler.runtime.precision import Deviation
from report_parts import make_timing

DECISIONS = (
    Decision("conv1 to add [3]", "one convolution", 2_000_000, 1_000_000, 2.5, 1.25, "it is faster"),
    Decision("conv9 to conv9", "as it is", 5_000, 5_000, None, None, "nothing to fuse"),
)


def make_step(runtime: str, form: str, backend: str, precision: str, median_ms: float) -> Step:
    timing = dataclasses.replace(make_timing(form, backend, 1, median_ms), precision=precision)
    exact = precision == "float32"
    return Step(
        runtime,
        form,
        timing,
        added=None if form == "original" and backend == "torch_eager" else Ratio(2.5, 2.25, 2.75),
        brought=Ratio(1.5, 1.25, 1.75) if form == "flat" else None,
        against=Ratio(12.5 / median_ms, 12.25 / median_ms, 12.75 / median_ms),
        deviation=None if form == "original" and exact else Deviation(None if exact else 31.7, 0.01, 8),
    )


@pytest.fixture
def attribution() -> Attribution:
    steps = [
        make_step(runtime, form, backend, precision, ms / (2 if form == "flat" else 1))
        for runtime in ("onnxruntime", "openvino")
        for form in ("original", "flat")
        for backend, precision, ms in (
            ("torch_eager", "float32", 36.4), (runtime, "float32", 12.5), (runtime, "int8", 5.0),
        )
    ]  # fmt: skip
    machine = Machine("a processor", 2, 7.8, "Linux", "3.12", {"torch": "2.13"})
    skipped = (Skipped("tensorrt in int8", "no GPU", "use another <machine>"),)
    return Attribution(tuple(steps), skipped, machine, (1, 3, 224, 224), 20, None, 48)


def shown(table: Table, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, force_terminal=False).print(table)
    return stream.getvalue()


def test_a_table_a_runtime_fits_80_columns(attribution: Attribution) -> None:
    first, second = (shown(table) for table in attribution_tables(attribution))
    assert "onnxruntime" in first and "openvino" in second
    rows = [line.split() for line in first.splitlines() if line.startswith(("original", "flat"))]
    assert rows[0] == ["original", "eager", "36.4", "–", "–", "–", "–", "0.34", "0.34-0.35", "–"]
    assert rows[1][:5] == ["original", "runtime", "12.5", "2.50", "2.25-2.75"]
    assert rows[5] == [
        *("flat", "int8", "2.50", "2.50", "2.25-2.75", "1.50", "1.25-1.75", "5.00", "4.90-5.10", "32"),
    ]  # fmt: skip
    assert "48 real inputs" in first and max(map(len, first.splitlines())) <= 80


def test_random_inputs_are_told(attribution: Attribution) -> None:
    drawn = dataclasses.replace(attribution, calibrated=0)
    assert "calibrated on random inputs" in " ".join(shown(attribution_tables(drawn)[0]).split())


def test_decisions_show_latencies_only_where_they_were_asked() -> None:
    timed = shown(decisions_table(DECISIONS), 120)
    row = next(line for line in timed.splitlines() if line.startswith("conv1"))
    assert all(word in row for word in ("conv1 to add [3]", "one convolution", "2.5", "1.25", "it is faster"))
    plain = shown(decisions_table(DECISIONS[1:]), 120)
    assert "MACs" in plain and " ms" not in plain
    assert "conv9 to conv9" in plain


def test_the_picture_has_a_bar_a_step(attribution: Attribution) -> None:
    svg = attribution_figure(attribution)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"onnxruntime", "openvino", "eager torch", "int8", "original", "flat"} <= set(texts)
    assert texts.count("36.4") == 2 and texts.count("2.50  ×2.50") == 2
    assert attribution_figure(attribution) == svg


def test_the_page_shows_both(attribution: Attribution) -> None:
    page = render(Story("Any network", decisions=DECISIONS, attribution=attribution))
    assert "Where the speed comes from" in page and "4.90-5.10" in page and "Decisions" in page
    assert "use another &lt;machine&gt;" in page
    assert "Where the speed comes from" not in render(Story("Any network"))
