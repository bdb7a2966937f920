"""`juggler fit --report` writes the paper's tables and figures beside the predictor."""

from __future__ import annotations

import json
from pathlib import Path

from commands import Program
from juggler.predict import Store
from made_up_prediction import points
from made_up_samples import MACHINE, samples


def test_fit_writes_a_report(program: Program, elsewhere: Path) -> None:
    with Store.open(elsewhere / "lab.db", create=True) as store:
        store.add_machine(MACHINE)
        for sample in samples(90):
            store.add(sample, "one")
    rows = [vars(one) for one in points({"vgg16": 300.0})]
    (elsewhere / "networks.json").write_text(json.dumps({"networks": rows}), encoding="utf-8")
    line = ("fit", "lab.db", "--learners", "polynomial,roofline_net", "--use", "polynomial")
    line += ("--report", "told")
    done = program(*line, "--measured", "networks.json").check(0)
    assert "told/prediction.html" in done.out
    assert (elsewhere / "lab.predictor").is_file()
    page = (elsewhere / "told" / "prediction.html").read_text(encoding="utf-8")
    for words in ("Fig. 2", "Fig. 3", "Fig. 4", "vgg16: MAPE", "published, Table 5"):
        assert words in page, words
    epochs = (elsewhere / "told" / "tables" / "fig2.csv").read_text(encoding="utf-8").splitlines()
    assert len(epochs) > 20
    assert all("roofline_net" in row and not row.endswith(",") for row in epochs[1:]), "errors on both sides"


def test_networks_that_are_not_there_are_told_before_anything_is_fitted(
    program: Program, elsewhere: Path
) -> None:
    done = program("fit", "lab.db", "--report", "told", "--measured", "absent.json").check(4)
    assert "absent.json" in done.err
    assert "benchmarks/predict/networks.py" in done.err
    assert not (elsewhere / "told").exists()
