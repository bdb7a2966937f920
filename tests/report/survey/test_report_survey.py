"""The survey's tables, pictures and page: every figure says where it comes from, in each of them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from juggler.report.kit.sheet import sheet_table
from juggler.report.survey.bubbles import BUBBLES, LARGEST, LARGEST_M, SMALLEST, area, bubble_figure
from juggler.report.survey.figures import BARS, bar_figure
from juggler.report.survey.hardware import choice_figure, energy_figure
from juggler.report.survey.page import render_survey, write_survey
from juggler.report.survey.sheets import (
    MARKERS,
    SIGNS,
    WEAKEST_FIRST,
    arrays_sheet,
    legend,
    marked,
    points,
    precisions_sheet,
    ratios_sheet,
    sheets_for_terminal,
    table_one_sheet,
    weakest,
    what_ifs_sheet,
)
from juggler.survey import ORIGINS, Amount
from made_up_survey import made_up_survey

SURVEY = made_up_survey()
DRAWN = [
    *(pytest.param(lambda plan=plan: bar_figure(SURVEY, plan), id=f"fig{plan.number}") for plan in BARS),
    *(
        pytest.param(lambda plan=plan: bubble_figure(SURVEY, plan), id=f"fig{plan.number}")
        for plan in BUBBLES
    ),
    pytest.param(lambda: choice_figure(SURVEY), id="choice"),
    pytest.param(lambda: energy_figure(SURVEY), id="energy"),
]


def test_every_origin_has_a_sign_and_every_number_a_marker():
    assert set(SIGNS) == set(ORIGINS) == set(WEAKEST_FIRST)
    assert set(MARKERS) == set(ORIGINS) - {"unavailable"}
    assert len(set(SIGNS.values())) == len(SIGNS)
    assert weakest(["measured", "quoted"]) == "quoted"
    assert weakest(["counted", "measured"]) == "measured"
    assert legend(["quoted", "measured"]) == "● measured  ○ quoted"
    assert marked("top1", Amount(77.72, "quoted", "x")) == "77.7 ○"
    assert marked("top1", None) == marked("top1", Amount.none("why")) == "–"


def test_the_papers_figures_are_all_there():
    assert sorted(plan.number for plan in (*BARS, *BUBBLES)) == [16, 17, 18, 19, 20, 21, 22, 23, 24, 28, 29]


@pytest.mark.parametrize("make", DRAWN)
def test_a_figure_is_drawn_in_the_pages_colours_with_its_origins(make):
    svg = make()
    ET.fromstring(svg)  # noqa: S314  # our own
    assert not re.findall(r"#[0-9a-f]{6}\b", re.sub(r"var\([^)]*\)", "", svg)), "colours are the page's"
    assert any(origin in svg for origin in ORIGINS)
    assert "<b>" not in svg
    assert svg == make()


def test_a_missing_bar_says_so_and_marks_differ_by_origin():
    top1, time, power = (
        bar_figure(SURVEY, plan) for plan in BARS if plan.key in ("top1", "latency_ms", "power_w")
    )
    assert "75.5 ●" in top1 and "74.0 ○" in top1 and "unavailable" in top1
    assert "ours, measured ●" in top1 and "the paper's, quoted ○" in top1
    assert "12.5 ●" in time and "90.8 ○" in time and "not in the paper" in time
    assert "8.00 ◆" in power


def test_bubbles_grow_with_parameters():
    assert area(LARGEST_M) == LARGEST
    assert area(LARGEST_M / 4) == LARGEST / 4
    assert area(0.001) == SMALLEST


def test_bubbles_stand_where_both_figures_are_known():
    time = bubble_figure(SURVEY, next(plan for plan in BUBBLES if plan.number == 22))
    assert "best" in time and "beaten" not in time, "it has no time"
    assert "(measured, quoted)" in time and "nothing to draw" not in time.partition("the paper")[0]
    nothing = bubble_figure(SURVEY, next(plan for plan in BUBBLES if plan.number == 29))
    assert "(unavailable)" in nothing and "nothing to draw" in nothing


def test_table_one_has_the_papers_row_below_ours():
    rows = table_one_sheet(SURVEY).rows
    assert [row[0] for row in rows] == ["best", "  the paper's", "beaten <b>&</b> $x$", "unknown"]
    assert rows[0] == ("best", "75.5 ●", "–", "1.50 ■", "2.00 ■", "12.5 ●", "8.00 ◆")
    assert rows[1] == ("  the paper's", "70.0 ○", "–", "70.0 ○", "–", "90.8 ○", "–")


def test_arrays_and_precisions_are_laid_out():
    sheet = arrays_sheet(SURVEY)
    assert [column.name for column in sheet.columns][-1] == "▲ what sets it"
    assert sheet.rows[0][1:4] == ("16 × 8, weight-stationary", "128", "1,000")
    assert arrays_sheet(SURVEY, narrow=True).rows[0][1] == "16 × 8, weight"
    alone = replace(SURVEY, networks=SURVEY.networks[:1])
    assert len(arrays_sheet(alone).columns) == len(sheet.columns) - 1, "nothing to share an array with"
    assert precisions_sheet(SURVEY).rows[0] == (
        "best",
        "8.00",
        "10.0",
        "+0.5 (-0.5 to +1.5) ●",
        "32.0",
        "40.0",
        "0",
    )
    assert points(Amount.none("not measured")) == "–"


def test_what_ifs_say_what_was_measured():
    assert ratios_sheet(SURVEY).rows[0] == ("best", "0.80, 1.00")
    sheet = what_ifs_sheet(SURVEY, SURVEY.networks[0])
    assert sheet.rows[1][0] == "half of the weights pruned"
    assert sheet.rows[1][-1] == "+0.5 (-0.5 to +1.5) ●"
    assert "40 pictures" in sheet.note
    assert "no pictures and weights were given" in what_ifs_sheet(SURVEY, SURVEY.networks[1]).note


def test_the_terminal_shows_tables_and_what_was_left_out():
    titles = [str(sheet_table(sheet).title) for sheet in sheets_for_terminal(SURVEY)]
    assert titles == ["Table I", "Arrays", "Precision", "Left out"]


def test_the_page_is_whole_escaped_and_alone(tmp_path):
    path = write_survey(SURVEY, tmp_path)
    page = path.read_text(encoding="utf-8")
    assert page.count("<svg") == len(DRAWN)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "beaten <b>" not in page and "A note <b>" not in page
    assert "beaten &lt;b&gt;&amp;&lt;/b&gt;" in page
    for words in (SURVEY.verdict[0], "pip install --no-deps pytorchcv", "aten.i0 (1)", "a processor"):
        assert words.replace("&", "&amp;") in page, words
    for origin in ORIGINS:
        assert f'class="{origin}"' in page
    assert re.search(
        r"title='40 pictures; 95 % from 60.0 to 85.0'>75.5 <small class='origin measured'>", page
    )
    pictures = sorted((tmp_path / "figures").glob("*.svg"))
    assert len(pictures) == len(DRAWN)
    for picture in pictures:
        ET.fromstring(picture.read_text(encoding="utf-8"))  # noqa: S314  # our own


def test_a_survey_without_accuracies_has_a_page_too():
    bare = replace(SURVEY, networks=SURVEY.networks[2:], left_out=(), verdict=("Nothing is known.",))
    page = render_survey(bare)
    assert "Recommended" not in page
    assert "Left out" not in page
    assert "nothing to draw" in page
