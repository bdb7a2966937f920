"""What every learner must pass, the house's own and those of third parties."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-incomplete-defs=False
from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from juggler.errors import ConfigError, DataError
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import pack, unpack
from juggler.predict.learning.net_learner import NetLearner
from juggler.predict.learning.scores import mape

SIDES = ("height", "width")


def convolutions(count, seed=0):
    """Draw convolutions, and what they would take on a made-up device: a roofline times a waste, in ms."""
    draw = np.random.default_rng(seed)
    size, kernel = np.exp(draw.uniform(1.5, 4.5, count)).round(), draw.choice([1.0, 3.0, 5.0], count)
    stride = draw.choice([1.0, 2.0], count)
    table = KernelTable(
        "conv",
        {
            **{"batch": draw.integers(1, 9, count), "bias": draw.integers(0, 2, count)},
            **{"in_channels": draw.integers(1, 97, count), "out_channels": draw.integers(1, 129, count)},
            **{side: size for side in SIDES},
            **{f"kernel_{side}": kernel for side in SIDES},
            **{f"stride_{side}": stride for side in SIDES},
            **{f"pad_{side}": kernel // 2 for side in ("top", "left", "bottom", "right")},
            "activation": draw.choice(["none", "relu"], count),
        },
    )
    waste = np.ceil(table["out_channels"] / 32) * 32 / table["out_channels"]
    latency_ms = 0.05 + table["operations"] * waste / 2e8 + table["bytes"] / 2e7
    return table, latency_ms * np.exp(draw.normal(0.0, 0.01, count))


def quick(learner):
    """Shorten the training of a network: a contract needs no converged one."""
    if isinstance(learner, NetLearner):
        few = {"epochs": 8 if learner.plan["architecture"] == "resperfnet" else 60}
        return replace(learner, plan={**learner.plan, **few})
    return learner


def check_learner(name, learner):
    """Check a learner on made-up convolutions."""
    assert learner.name == name, "a learner bears its file's name"
    assert learner.summary and "\n" not in learner.summary
    learner = quick(learner)
    table, target = convolutions(72)
    others, measured = convolutions(40, seed=1)
    told = []
    fitted = learner.fit(table, target, seed=3, progress=lambda value: told.append((value.done, value.total)))
    assert told and told[-1][0] == told[-1][1], "progress ends at its total"
    predicted = fitted.predict(others)
    check_answers(predicted, len(others))
    constant = np.full_like(measured, target.mean())
    assert mape(measured, predicted) < mape(measured, constant), "it learns more than the mean"
    check_reload(name, fitted, others, predicted)
    check_range(fitted, others)
    again = learner.fit(table, target, seed=3).predict(others)
    assert np.allclose(again, predicted, rtol=1e-12, atol=0.0), "a seed gives the same predictions"
    check_refusals(learner, fitted, table, target)


def check_answers(predicted, count):
    assert predicted.shape == (count,) and predicted.dtype == np.float64
    assert np.isfinite(predicted).all() and (predicted > 0.0).all()


def check_reload(name, fitted, table, predicted):
    """Write to JSON and arrays and back; a learner of third parties need not be in the registry here."""
    packed, arrays = pack(name, fitted)
    assert all(array.dtype != object for array in arrays.values()), "objects would be pickled"
    text = json.dumps(packed, allow_nan=False)
    assert np.array_equal(unpack(json.loads(text), arrays).predict(table), predicted)


def check_range(fitted, table):
    """Predict nothing, one kernel, and one far outside of what was seen."""
    assert fitted.predict(table.take(np.arange(0))).shape == (0,)
    alone = np.concatenate([fitted.predict(table.take([row])) for row in range(3)])
    assert np.allclose(alone, fitted.predict(table.take(np.arange(3))), rtol=1e-5)
    huge = KernelTable("conv", {"batch": [512], "in_channels": [4096], "height": [900], "width": [1]})
    check_answers(fitted.predict(huge), 1)


def check_refusals(learner, fitted, table, target):
    for wrong in (np.nan, np.inf, -1.0, 0.0):
        bad = target.copy()
        bad[5] = wrong
        with pytest.raises(DataError, match="row 5"):
            learner.fit(table, bad)
    with pytest.raises(DataError, match="0 of them"):
        learner.fit(table.take(np.arange(0)), target[:0])
    with pytest.raises(DataError, match="one each"):
        learner.fit(table, target[:-1])
    with pytest.raises(ConfigError, match="dense"):
        fitted.predict(KernelTable("dense", {"in_channels": [8], "out_channels": [8]}))
