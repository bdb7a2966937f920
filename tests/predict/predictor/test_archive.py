"""Predictors that release 0.1.0 has written answer as they did there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from juggler.predict.extract.kernels import ExtractedKernels
from juggler.predict.predictor.predictor import Predictor

RELEASE = Path(__file__).parent / "release-0.1.0"
ROWS = json.loads((RELEASE / "predictions.json").read_text(encoding="utf-8"))


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return the leaves of plain JSON by their paths."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    leaves = {key: leaf for at, child in children for key, leaf in flat(child, f"{name}/{at}").items()}
    return leaves if isinstance(value, dict | list) else {name: value}


@pytest.mark.parametrize("name", ["made-up.predictor", "xeon-onnxruntime"])
@pytest.mark.parametrize("row", ROWS, ids=["first", "second"])
def test_a_predictor_of_the_last_release_answers_the_same(name: str, row: dict[str, Any]) -> None:
    file = RELEASE / name
    predictor = Predictor.load(file if file.is_file() else name)
    prediction = predictor.predict(ExtractedKernels.from_dict(row["reading"]))
    answers = flat(json.loads(prediction.to_json()))
    before = flat(row["predictions"][name])
    # Since 0.1.0 an interval is wider by what no sample tells of, and says so.
    low_ms, high_ms = (before.pop(end) for end in ("/low_ms", "/high_ms"))
    assert answers.pop("/low_ms") <= low_ms and answers.pop("/high_ms") >= high_ms
    told = {value for path, value in before.items() if path.startswith("/warnings")}
    assert told <= {value for path, value in answers.items() if path.startswith("/warnings")}
    # Another processor may add in another order: the last digits are its own.
    assert {path: value for path, value in answers.items() if not path.startswith("/warnings")} == {
        path: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
        for path, value in before.items()
        if not path.startswith("/warnings")
    }


def test_what_was_loaded_is_written_as_it_was(tmp_path: Path) -> None:
    file = RELEASE / "made-up.predictor"
    assert Predictor.load(file).save(tmp_path / "again.predictor").read_bytes() == file.read_bytes()
