"""A predictor file that was altered ends in one of our errors, or answers; it never ends in a traceback."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from juggler.errors import ArtefactError, JugglerError
from juggler.predict.extract.kernels import ExtractedKernels
from juggler.predict.predictor.predictor import Predictor

RELEASE = Path(__file__).parent / "release-0.1.0"
READING = ExtractedKernels.from_dict(json.loads((RELEASE / "predictions.json").read_text())[0]["reading"])
WRONG: tuple[Any, ...] = (None, "a text", -1, 1e308, [], {}, True, "\x1b[2J", [[1]])


def parts() -> tuple[Any, dict[str, Any]]:
    with zipfile.ZipFile(RELEASE / "made-up.predictor") as archive:
        arrays = np.load(io.BytesIO(archive.read("arrays.npz")))
        return json.loads(archive.read("predictor.json")), dict(arrays)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of a JSON document, those of long lists but for the first."""
    if path:
        yield path
    children = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from leaves(child, (*path, key))


def answers_or_refuses(fields: Any, arrays: dict[str, Any], path: Path) -> None:
    npz = io.BytesIO()
    np.savez(npz, **arrays)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("predictor.json", json.dumps(fields))
        archive.writestr("arrays.npz", npz.getvalue())
    try:
        prediction = Predictor.load(path).predict(READING)
    except JugglerError as error:
        assert "\x1b" not in str(error)
    else:
        assert np.isfinite([prediction.latency_ms, prediction.low_ms, prediction.high_ms]).all()
        assert 0.0 < prediction.low_ms <= prediction.latency_ms <= prediction.high_ms


def test_any_other_value_in_any_field(tmp_path: Path) -> None:
    fields, arrays = parts()
    paths = [path for path in leaves(fields) if path[0] != "report"]
    assert len(paths) > 100
    for number, path in enumerate(paths[::11]):
        altered = json.loads(json.dumps(fields))
        place = altered
        for key in path[:-1]:
            place = place[key]
        if number % 10 == 9:
            del place[path[-1]]
        else:
            place[path[-1]] = WRONG[number % len(WRONG)]
        answers_or_refuses(altered, arrays, tmp_path / "x.predictor")


@pytest.mark.parametrize("change", ["gone", "empty", "nan", "short", "text", "noise"])
def test_any_other_array(tmp_path: Path, change: str) -> None:
    fields, arrays = parts()
    draw = np.random.default_rng(0)
    for name in list(arrays)[::7]:
        altered = dict(arrays)
        array = altered.pop(name)
        if change == "empty":
            altered[name] = np.zeros(0)
        elif change == "nan" and array.dtype.kind == "f":
            altered[name] = np.full_like(array, np.nan)
        elif change == "short":
            altered[name] = array[: len(array) // 2]
        elif change == "text":
            altered[name] = np.array(["a"] * len(array))
        elif change == "noise" and array.dtype == np.uint8:
            altered[name] = draw.integers(0, 255, array.size).astype(np.uint8)
        answers_or_refuses(fields, altered, tmp_path / "x.predictor")


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    fields, arrays = parts()
    with pytest.raises(ArtefactError, match="something else"):
        answers_or_refuses_loudly(fields | {"kind": "no predictor"}, arrays, tmp_path / "x.predictor")


def answers_or_refuses_loudly(fields: Any, arrays: dict[str, Any], path: Path) -> None:
    answers_or_refuses(fields, arrays, path)
    Predictor.load(path)
