"""Tables: the same cells for terminal and page, units in every header, plain text only."""

from __future__ import annotations

import dataclasses
import io
import math

import pytest
from rich.console import Console
from rich.table import Table

from juggler.nouns import SourceCheck
from juggler.report import (
    Story,
    alerts_table,
    certificate_table,
    recall_table,
    refusals_table,
    rewrites_table,
    scores_table,
    timings_table,
)
from juggler.report.detector.sheets import scores_sheet
from juggler.report.html import tiles
from juggler.report.kit import units
from juggler.report.network import sheets
from report_parts import make_certificate, make_scores, make_timing


def shown(table: Table, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, force_terminal=False).print(table)
    return stream.getvalue()


def cells(text: str, first: str) -> list[str]:
    return next(line for line in text.splitlines() if line.startswith(first)).split()


def test_scores_fit_a_terminal_of_80_columns_with_no_number_cut() -> None:
    scores = make_scores(records=22544)
    text = shown(scores_table([("flat, onnxruntime, Test+", scores)]))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    row = cells(text, "flat,")
    assert row[1:] == ["22,544", "0.975", "2.00", "91.00", "95.00", "83.00", "93.00", "88.00", "0.710"]
    assert "(0.2500 in every run)" in " ".join(text.split())


def test_a_threshold_that_differs_gets_a_column() -> None:
    sheet = scores_sheet([("a", make_scores()), ("b", make_scores(threshold=0.5))])
    place = [c.name for c in sheet.columns].index("threshold")
    assert [row[place] for row in sheet.rows] == ["0.2500", "0.5000"]


def test_latencies_are_compared_with_the_first_subject_on_the_same_backend_and_batch() -> None:
    timings = [
        make_timing("wide", "onnxruntime", 1, 0.4),
        make_timing("flat", "onnxruntime", 1, 0.16),
        make_timing("flat", "openvino", 1, 0.2),
    ]
    text = shown(timings_table(timings))
    assert cells(text, "wide")[-1] == units.DASH
    rows = sheets.timings_sheet(timings).rows
    assert [row[-1] for row in rows] == [units.DASH, "2.50", units.DASH]
    assert rows[1][3] == "0.160" and rows[1][6] == "6,250"
    assert {c.unit for c in sheets.timings_sheet(timings).columns if c.numeric} >= {"ms", "inputs/s"}


def test_precisions_get_a_column_where_there_are_several_and_are_not_compared() -> None:
    wide, flat = make_timing("wide", "openvino", 1, 0.4), make_timing("flat", "openvino", 1, 0.2)
    halves = [dataclasses.replace(t, precision="bfloat16", median_ms=t.median_ms / 4) for t in (wide, flat)]
    one, several = sheets.timings_sheet([wide, flat]), sheets.timings_sheet([wide, flat, *halves])
    assert "precision" not in [column.name for column in one.columns]
    place = [column.name for column in several.columns].index("precision")
    assert [row[place] for row in several.rows] == ["float32", "float32", "bfloat16", "bfloat16"]
    assert [row[-1] for row in several.rows] == [units.DASH, "2.00", units.DASH, "2.00"]


def test_no_timings_make_an_empty_table() -> None:
    assert timings_table([]).row_count == 0
    assert scores_table([]).row_count == 0


def test_a_check_beyond_its_limit_is_said() -> None:
    assert "EXCEEDED" not in shown(certificate_table(make_certificate()))
    for error in (1e-3, math.nan):
        text = shown(certificate_table(make_certificate(error=error)))
        assert "EXCEEDED" in cells(text, "actual") and "within" in cells(text, "randomised")
    assert "Same predicted class on 120 of 120 real inputs." in " ".join(text.split())


def test_an_uncompared_certificate_says_so() -> None:
    proof = dataclasses.replace(make_certificate(), classes_agreed=0, classes_compared=0)
    assert "No real inputs were given" in " ".join(shown(certificate_table(proof)).split())


def test_rewrites_are_counted_by_rule(story: Story) -> None:
    row = sheets.rewrites_sheet(story.rewrites).rows
    assert row == (("fold_scale", "section 3.1", "2", "4", "1.80 k", "1.80 k", "4.0e-16"),)
    assert "fold_scale" in shown(rewrites_table(story.rewrites))


def test_refusals_keep_reason_and_remedy(story: Story) -> None:
    text = shown(refusals_table(story.refusals * 3), width=140)
    assert cells(text, "fuse_vertical")[1] == "3"
    assert "the border differs" in text and "pad before the first" in text


def test_markup_and_escapes_in_names_have_no_effect() -> None:
    label = "[red]x[/red]\x1b[2J"
    text = shown(scores_table([(label, make_scores())]), width=140)
    assert "[red]x[/red]" in text and "\x1b" not in text


def test_recall_and_alerts_show_what_was_given(story: Story) -> None:
    assert cells(shown(recall_table(story.scores), width=120), "flat,")[-2:] == ["98.00", "75.00"]
    assert "count 0.40" in shown(alerts_table(story.alerts[:1]), width=160)


def test_key_figures_say_what_was_counted(story: Story) -> None:
    found = {tile.label: tile for tile in tiles(story)}
    assert found["Ops"].value == "14 → 4"
    assert found["Latency, batch 1"].value == "0.200 ms"
    assert "2.00× faster than wide there" in found["Latency, batch 1"].detail
    assert found["Attacks detected"].value == "91.0 %"
    assert "at 2.0 % false alarms" in found["Attacks detected"].detail
    assert found["Unseen types detected"].value == "83.0 %"
    assert found["Alerts"].value == "25" and "75 alarms" in found["Alerts"].detail
    assert found["Certificate"].style == "good"
    failed = dataclasses.replace(story, certificate=make_certificate(error=1.0))
    assert {t.label: t.value for t in tiles(failed)}["Certificate"] == "FAILED"
    assert tiles(Story("Nothing")) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.significant(0.04123), "0.0412"),
        (units.significant(1234.5), "1,234"),
        (units.significant(0), "0"),
        (units.significant(math.inf), units.DASH),
        (units.macs(4_089_184_256), "4.09 G"),
        (units.macs(999_900), "1.00 M"),
        (units.macs(12), "12"),
        (units.percent(0.049), "4.9"),
        (units.percent(None), units.DASH),
        (units.error(0.0), "0"),
        (units.error(3.14e-16), "3.1e-16"),
        (units.limit(1e-12), "1e-12"),
        (units.power_of_ten(-12), "10⁻¹²"),
        (units.shape((1, 3, 8, 8)), "1×3×8×8"),
        (units.shorten("a" * 30, 9), "aaaa…aaaa"),
        (units.clean("a\tb\x00"), "a\ufffdb\ufffd"),
    ],
)
def test_numbers_read_well(text: str, expected: str) -> None:
    assert text == expected


def test_the_file_that_a_network_was_read_from_has_its_rows() -> None:
    near = SourceCheck(((1, 3, 32, 33),), 1e-7, 1e-5, "onnxruntime 1.0")
    unknown = SourceCheck((), None, 1e-5, "onnxruntime 1.0", "ONNX Runtime cannot run the file (no kernel)")
    sheet = sheets.certificate_sheet(dataclasses.replace(make_certificate(), source=(near, unknown)))
    assert sheet.rows[-2][:3] == ("file", "float32", "1×3×32×33")
    assert [row[-1] for row in sheet.rows[-2:]] == ["within", "NOT COMPARED"]
    assert sheet.row_styles[-2:] == ("good", "bad")
    assert "NOT COMPARED with the file: ONNX Runtime cannot run the file (no kernel)" in sheet.note
