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
    # Another processor may add in another order: the last digits are its own.
    assert answers == {
        path: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
        for path, value in flat(row["predictions"][name]).items()
    }


def test_what_was_loaded_is_written_as_it_was(tmp_path: Path) -> None:
    file = RELEASE / "made-up.predictor"
    assert Predictor.load(file).save(tmp_path / "again.predictor").read_bytes() == file.read_bytes()
