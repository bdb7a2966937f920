"""What was fitted returns field by field from its values and arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from juggler.arrays import Floats
from juggler.predict.learning.boosting import Boosters
from juggler.predict.learning.state import Stateful, joined, part


@dataclass(frozen=True, eq=False)
class Line(Stateful):
    slope: Floats
    span: tuple[float, float]
    is_log: bool
    word: str
    history: tuple[int, ...] = ()

    renamed = {"word": "text"}  # noqa: RUF012


LINE = Line(np.array([1.0, 2.0]), (0.5, 2.0), True, "a", (1, 2))


def test_fields_are_kept_by_their_types_and_names():
    values, arrays = LINE.state()
    assert values == {"span": [0.5, 2.0], "is_log": True, "text": "a"}
    again = Line.restore(values, arrays)
    assert again.slope is not None and np.array_equal(again.slope, LINE.slope)
    assert (again.span, again.is_log, again.word, again.history) == ((0.5, 2.0), True, "a", ())
    with pytest.raises(KeyError):
        Line.restore({}, arrays)


def test_parts_are_joined_and_taken_apart():
    parts = {"a": {"x": np.zeros(1)}, "": {"y": np.ones(1)}}
    together = joined(parts)
    assert set(together) == {"a/x", "y"}
    assert part(together, "a") == {"x": np.zeros(1)} and set(part(together, "")) == {"a/x", "y"}
    assert Boosters((b"1",)).arrays()["booster0"].tolist() == [49]
