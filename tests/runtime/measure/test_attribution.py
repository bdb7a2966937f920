"""Attribution: every step is there, compared with the right ones, and tells how far its answers are off."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from juggler.clock.race import Samples
from juggler.errors import ConfigError
from juggler.runtime.measure.attribution import FLAT, ORIGINAL, Attribution, _Place, _steps, attribute

SHAPE = (3, 8, 8)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 1),
            nn.Conv2d(8, 4, 3),
        ),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)),
    ).eval()


@pytest.fixture(scope="module")
def found() -> Attribution:
    inputs = np.random.default_rng(1).standard_normal((24, *SHAPE), dtype=np.float32)
    return attribute(
        network(), torch.randn(2, *SHAPE), backends=["onnxruntime", "torch_eager"], inputs=inputs, rounds=6,
        warmup_s=0.0, threads=1,
    )  # fmt: skip


def test_every_step_is_there(found: Attribution) -> None:
    assert found.runtimes == ("onnxruntime",) and found.skipped == ()
    assert (found.shape, found.rounds, found.threads, found.calibrated) == ((2, *SHAPE), 6, 1, 18)
    for form in (ORIGINAL, FLAT):
        path = [(s.timing.backend, s.timing.precision) for s in found.path("onnxruntime", form)]
        assert path == [("torch_eager", "float32"), ("onnxruntime", "float32"), ("onnxruntime", "int8")]
    assert all(s.timing.batch == 2 and s.timing.subject == s.form for s in found.steps)


def test_steps_are_compared_with_the_right_ones() -> None:
    took_ms = {("original", "torch_eager", "float32"): 24.0, ("flat", "torch_eager", "float32"): 16.0}
    took_ms |= {("original", "fast", "float32"): 12.0, ("flat", "fast", "float32"): 6.0}
    took_ms |= {("original", "fast", "int8"): 4.0, ("flat", "fast", "int8"): 1.0}
    samples = {
        _Place(*place): Samples(tuple(np.array([value, value]) for _ in range(8)))  # type: ignore[arg-type]
        for place, value in took_ms.items()
    }
    steps = {(s.form, s.timing.backend, s.timing.precision): s for s in _steps(("fast",), samples, {}, 1, 0)}
    assert list(steps) == sorted(steps, key=lambda at: at[0] == "flat")
    medians = {
        at: [r and r.median for r in (step.added, step.brought, step.against)] for at, step in steps.items()
    }
    assert medians == {
        ("original", "torch_eager", "float32"): [None, None, 0.5],
        ("original", "fast", "float32"): [2.0, None, 1.0],
        ("original", "fast", "int8"): [3.0, None, 3.0],
        ("flat", "torch_eager", "float32"): [1.5, 1.5, 0.75],
        ("flat", "fast", "float32"): pytest.approx([16 / 6, 2.0, 2.0]),
        ("flat", "fast", "int8"): [6.0, 4.0, 12.0],
    }


def test_answers_are_held_against_the_original_in_eager(found: Attribution) -> None:
    original, flat = found.path("onnxruntime", ORIGINAL), found.path("onnxruntime", FLAT)
    assert original[0].deviation is None
    for step in (original[1], *flat[:2]):
        assert step.deviation.max_error < 1e-4 and step.deviation.inputs == 6
    for step in (original[2], flat[2]):
        assert 10 < step.deviation.signal_to_noise_db < 60


def test_it_is_written_and_read(found: Attribution) -> None:
    assert Attribution.from_json(found.to_json()) == found


def test_without_int8_and_without_inputs() -> None:
    found = attribute(
        network(), torch.randn(1, *SHAPE), backends=["onnxruntime"], rounds=2, warmup_s=0.0, int8=False
    )
    assert found.calibrated == 0 and len(found.steps) == 4
    assert {step.timing.precision for step in found.steps} == {"float32"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"backends": ["torch_eager"]}, "no runtime"),
        ({"backends": ["abacus"]}, "onnxruntime"),
        ({"inputs": np.zeros((1, *SHAPE), np.float32)}, "1 inputs"),
    ],
)
def test_what_cannot_work_is_refused(options: dict, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        attribute(network(), torch.randn(1, *SHAPE), rounds=2, **options)


def test_one_input_only() -> None:
    with pytest.raises(ConfigError, match="2 inputs"):
        attribute(network(), (torch.randn(1, 3), torch.randn(1, 3)))
