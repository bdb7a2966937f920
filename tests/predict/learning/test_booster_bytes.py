"""Boosters are looked through before xgboost opens them: an altered one would end the process."""

from __future__ import annotations

import numpy as np
import pytest

from juggler.predict.learning.booster_bytes import check_booster
from juggler.predict.learning.boosting import Settings, boost
from juggler.reading.request import MALFORMED

DRAW = np.random.default_rng(0)
MATRIX = DRAW.normal(size=(200, 3))
CONTENT, _, _ = boost(MATRIX, MATRIX[:, 0] ** 2, Settings(depth=3, rounds=4), seed=0)


def altered(name: bytes, item: int, value: int, size: int = 4) -> bytes:
    """Return the booster with one number of a list of whole numbers replaced, in its first tree."""
    at = CONTENT.index(name) + len(name)
    at = CONTENT.index(b"#", at) + 1
    at += 1 + {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8}[CONTENT[at : at + 1]]
    at += size * item
    return CONTENT[:at] + value.to_bytes(size, "big", signed=True) + CONTENT[at + size :]


def test_what_was_fitted_passes():
    check_booster(CONTENT)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (altered(b"left_children", 0, 0), "hang together"),
        (altered(b"left_children", 1, 1 << 30), "hang together"),
        (altered(b"right_children", 0, 1), "hang together"),
        (altered(b"split_indices", 0, 3), "columns"),
        (altered(b"split_indices", 0, -1), "columns"),
        (CONTENT + b"}", "behind its end"),
    ],
    ids=["own child", "beyond", "twice a child", "beyond columns", "before columns", "more behind"],
)
def test_what_does_not_hold_together_is_refused(content: bytes, fault: str):
    with pytest.raises(ValueError, match=fault):
        check_booster(content)


def test_any_cut_and_any_noise_is_refused_or_passes_and_never_more():
    for end in range(0, len(CONTENT), 97):
        with pytest.raises(MALFORMED):
            check_booster(CONTENT[:end])
    for seed in range(60):
        noise = bytearray(CONTENT)
        draw = np.random.default_rng(seed)
        for at in draw.integers(0, len(noise), 3):
            noise[at] = int(draw.integers(256))
        try:
            check_booster(bytes(noise))
        except Exception as error:  # noqa: BLE001  # which are allowed is what is tested
            assert isinstance(error, MALFORMED)
