"""A predictor's tables and figures: ours and the published ones, told apart, as CSV, SVG and one page."""

from __future__ import annotations

import csv
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from juggler.errors import ConfigError
from juggler.predict.learning.learner import LEARNERS
from juggler.report.prediction.networks import short_name
from juggler.report.prediction.page import write_prediction_report
from juggler.report.prediction.sheets import (
    COLUMN,
    families_sheet,
    learners_sheet,
    phases_sheet,
    published,
    published_layers,
    published_learners,
)
from made_up_prediction import ERRORS, FAMILIES, comparison, points, report, story

FIGURES = {"fig2", "fig3", "fig4", "fig5to7", "networks"}
TABLES = {"table1", "table2", "tables5to8", "fig2", "fig4", "networks"}


def read(folder, name):
    with (folder / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Words(HTMLParser):
    def __init__(self):
        super().__init__()
        self.loaded = []

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "href") and value[:1] != "#"]


def test_one_call_writes_the_page_the_figures_and_the_numbers(tmp_path):
    page = write_prediction_report(story(), tmp_path)
    text = page.read_text(encoding="utf-8")
    words = Words()
    words.feed(text)
    assert words.loaded == [], "it loads nothing from anywhere"
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == FIGURES
    assert {path.stem for path in (tmp_path / "tables").iterdir()} == TABLES
    for figure in FIGURES:
        svg = (tmp_path / "figures" / f"{figure}.svg").read_text(encoding="utf-8")
        assert ElementTree.fromstring(svg).tag.endswith("svg")  # noqa: S314  # our own file
        assert "nan" not in svg.lower()
    for told in (
        "published, TensorFlow",
        "other devices",
        "Eq. 2",
        "R²",
        "resperfnet_paper",
        "a made-up device",
    ):
        assert told in text, told
    assert text == write_prediction_report(story(), tmp_path).read_text(encoding="utf-8")


def test_the_numbers_are_not_rounded_and_say_where_they_come_from(tmp_path):
    own = story()
    write_prediction_report(own, tmp_path)
    first = read(tmp_path, "table1")
    assert {row["origin"] for row in first} == {"measured here", "published"}
    ours = {(r["family"], r["learner"]): r for r in first if r["origin"] == "measured here"}
    for row in own.comparison.rows:
        assert float(ours[row.family, row.learner]["mape"]) == row.scores.mape
    third = [row for row in read(tmp_path, "tables5to8") if row["origin"] == "measured here"]
    assert [(row["family"], row["phase"]) for row in third] == [
        (family, phase) for family in FAMILIES for phase in ("pre", "exec", "post")
    ]
    assert len(read(tmp_path, "fig2")) == 60 * len(own.histories)
    assert len(read(tmp_path, "networks")) == len(own.networks)
    measured = [float(row["measured_ms"]) for row in read(tmp_path, "networks")]
    assert measured == [one.measured_ms for one in own.networks]


def test_what_was_not_measured_is_left_out_and_told(tmp_path):
    few = replace(story(), comparison=None, histories={}, phases=(), networks=())
    text = write_prediction_report(few, tmp_path).read_text(encoding="utf-8")
    assert list((tmp_path / "figures").glob("*")) == [] if (tmp_path / "figures").exists() else True
    assert "None were scored" in text
    assert "None were timed" in text
    assert read(tmp_path, "networks") == []
    assert {row["origin"] for row in read(tmp_path, "table1")} == {"published"}


def test_networks_at_one_batch_each_are_one_cloud(tmp_path):
    one_each = points({f"drawn-{n}": 0.1 * n for n in range(1, 5)})[::7]
    text = write_prediction_report(replace(story(), networks=one_each), tmp_path).read_text(encoding="utf-8")
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert drawn == FIGURES - {"fig3", "fig5to7"}
    assert "4 networks: R²" in text


def test_a_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="taken"):
        write_prediction_report(story(), tmp_path / "taken")


def test_published_values_stand_beside_and_only_where_there_are_any():
    rows = {row[0]: row for row in learners_sheet(comparison()).rows}
    assert list(rows) == list(ERRORS)
    assert rows["polynomial"][-2:] == ("63.57", "316.5")
    assert rows["perfnet"][-2:] == ("14.96", "–")
    assert rows["roofline_trees"][-2:] == rows["resperfnet"][-2:] == ("–", "–")
    assert {row[-2:] for row in learners_sheet(comparison(), "dense").rows} == {("–", "–")}
    families = {row[0]: row for row in families_sheet(report(), 0.8).rows}
    assert families["dense"][-2:] == ("4.515", "13.4")
    assert families["norm"][4:8] == families["add"][-2:] * 2 == ("–",) * 4
    phases = {row[:2]: row for row in phases_sheet(story().phases, "here").rows}
    assert phases["pool", "postprocess"][-5:] == ("1.967", "2.86", "2.728", "3.802", "4.001")


def test_the_published_file_is_whole_and_agrees_with_itself():
    rows = published_layers()
    assert len({(one.table, one.family, one.phase) for one in rows}) == len(rows) == 5 * 3 * 3
    assert all(0.0 < one.mae_ms <= one.rmse_ms and 0.0 < one.mape < 100.0 for one in rows)
    of_conv = {one.framework: one.mape for one in rows if one.device == "GTX 1080 Ti" and one.phase == "exec"
               and one.family == "conv"}  # fmt: skip
    assert published_learners("resperfnet_paper") == of_conv == {"TensorFlow": 11.75, "TensorRT": 14.23}
    assert set(COLUMN) < set(LEARNERS.names())
    assert {one["device"] for one in published()["table4"]} == {one.device for one in rows}
    assert set(published()["table3"]["batch size"][:2]) == {1, 64}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/stages/stages.3/stages.3.0/conv/Conv_output_0", "stages.3.0/conv/Conv"),
        ("/a/attention/attention/Conv", "a/attention/Conv"),
        ("Conv_12", "Conv_12"),
        ("", ""),
        ("/", "/"),
        ("/a/" + "b" * 40, "…" + "b" * 31),
    ],
)
def test_names_of_kernels_are_as_short_as_they_can_be(path: str, name: str) -> None:
    assert short_name(path) == name
