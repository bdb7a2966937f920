"""`juggler fit` scores learners, keeps a predictor that loads, and says what is wrong with a database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import Program
from juggler.predict import Store
from juggler.predict.predictor.predictor import Predictor
from made_up_samples import MACHINE, samples

QUICK = ("--learners", "polynomial,xgboost_log", "--use", "xgboost_log")


@pytest.fixture
def lab(elsewhere: Path) -> Path:
    with Store.open(elsewhere / "lab.db", create=True) as store:
        store.add_machine(MACHINE)
        for sample in samples(90):
            store.add(sample, "one")
    return elsewhere / "lab.db"


def test_fit_scores_learners_and_keeps_a_predictor(program: Program, lab: Path) -> None:
    done = program("fit", "lab.db", *QUICK, "--json", "scores.json").check(0)
    for words in ("MAPE %", "Spearman", "floor", "polynomial", "xgboost_log", "held out", "seed 0"):
        assert words in done.out, words
    predictor = Predictor.load(lab.with_suffix(".predictor"))
    assert (predictor.name, predictor.models["conv"].learner) == ("lab", "xgboost_log")
    found = json.loads(lab.with_name("scores.json").read_text(encoding="utf-8"))
    assert {row["learner"] for row in found["learners"]["rows"]} == {"polynomial", "xgboost_log"}
    assert found["predictor"]["samples"] == 90


def test_fit_without_scores(program: Program, lab: Path) -> None:
    line = ("fit", "lab.db", "--learners", "none", "--use", "polynomial", "--out", "here/mine.predictor")
    done = program(*line, "--device", "mine").check(0)
    assert "floor %" not in done.out
    assert Predictor.load(lab.parent / "here" / "mine.predictor").name == "mine"


def test_what_fit_refuses(program: Program, lab: Path) -> None:
    assert "no such" in program("fit", "absent.db", *QUICK).check(4).err
    assert "random, batch" in program("fit", "lab.db", *QUICK, "--split", "network").check(2).err
    assert "Did you mean 'svr'" in program("fit", "lab.db", "--learners", "svrr").check(2).err
    lab.write_bytes(b"no database")
    assert "Traceback" not in program("fit", "lab.db", *QUICK).check(4).err
