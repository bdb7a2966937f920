"""`juggler survey` on small networks: tables, files, options, and what it says where things go wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from commands import Program
from juggler.survey import ORIGINS, Survey

MODULE = """
from torch import nn

def make(width=4):
    return nn.Sequential(
        nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3)
    )
"""
NET = "nets_of_the_survey_cli_test:make"
LINE = ("survey", NET, f"{NET}(width=8)", "--shape", "3,12,12", "--budget", "64", "--no-time")


@pytest.fixture(autouse=True)
def module(elsewhere: Path) -> Path:
    (elsewhere / "nets_of_the_survey_cli_test.py").write_text(MODULE, encoding="utf-8")
    return elsewhere


def test_survey_prints_tables_and_leaves_files(program: Program, elsewhere: Path) -> None:
    done = program(*LINE, "--precision", "8,32", "--out", "found").check(0)
    for words in ("Table I", "Arrays", "Precision", "make(width=8)", "■ counted", "One array for all"):
        assert words in done.out, words
    assert sorted(path.name for path in (elsewhere / "found").iterdir()) == [
        "figures",
        "survey.csv",
        "survey.html",
        "survey.json",
    ]
    assert len(list((elsewhere / "found" / "figures").glob("*.svg"))) == 13
    found = Survey.from_json((elsewhere / "found" / "survey.json").read_text(encoding="utf-8"))
    assert (found.bits, found.budget, len(found.networks)) == ((8, 32), 64, 2)
    lines = list(
        csv.DictReader((elsewhere / "found" / "survey.csv").read_text(encoding="utf-8").splitlines())
    )
    assert all(line["origin"] in ORIGINS and line["source"] for line in lines)
    assert all((line["value"] == "") == (line["origin"] == "unavailable") for line in lines)


def test_survey_times_networks_and_prints_json(program: Program) -> None:
    done = program(*LINE[:-1], "--rounds", "1", "--threads", "1", "--json").check(0)
    found = json.loads(done.out)
    assert [one["amounts"]["latency_ms"]["origin"] for one in found["networks"]] == ["measured"] * 2


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--budget", "0"), 2, "budget"),
        (("--precision", "many"), 2, "8,16,32"),
        (("--precision", "0"), 2, "8,16,32"),
        (("--precision", "128"), 2, "1 to 64"),
        (("--device", "eyeriss"), 2, "tpu_like"),
        (("--device", "nowhere.toml"), 2, "nowhere.toml"),
        (("--shape", "wide"), 2, "3,224,224"),
        (("--pictures", "nowhere"), 3, "nowhere"),
        (("--sample", "5"), 2, "--pictures"),
        (("--weights", "nowhere"), 2, "nowhere"),
        (("--backend", "nothing"), 2, "onnxruntime"),
    ],
)
def test_wrong_options_are_told(program: Program, options: tuple[str, ...], code: int, words: str) -> None:
    line = [word for word in LINE if word != "--no-time" or "--backend" not in options]
    program(*line, *options).check(code, words)


def test_a_network_that_is_not_there_is_told(program: Program) -> None:
    program("survey", "resnet19", "--no-time").check(2, "resnet18")
