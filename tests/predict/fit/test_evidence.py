"""What a report shows beside scores: three phases, and networks, each on what was held out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from juggler.errors import ArtefactError
from juggler.predict.fit.evidence import network_points, phase_evidence, read_points
from juggler.predict.learning.scores import mape
from made_up_device import network_ms, predictor, reading, timed
from made_up_prediction import points
from made_up_samples import samples


def test_three_phases_are_scored_on_kernels_held_out():
    told = []
    found = phase_evidence(
        samples(90),
        {"conv": "polynomial", "pool": "polynomial"},
        progress=lambda at: told.append((at.done, at.total)),
    )
    assert [(one.family, one.phase, one.learner) for one in found] == [
        ("conv", "pre", "roofline_trees"),
        ("conv", "exec", "polynomial"),
        ("conv", "post", "roofline_trees"),
    ]
    assert {one.training + one.scores.n for one in found} == {90}
    assert told[-1] == (3, 3)
    # Pre- and postprocessing of these samples all take 0.1 ms, which is easy to learn.
    assert found[0].scores.mape < 1.0
    assert set(found[1].measured_ms) < {sample.exec_ms for sample in samples(90)}


def test_timed_networks_are_predicted_without_themselves():
    whole, _, _ = predictor()
    assert network_points(whole, ()) == ()
    readings = [reading(seed, 1 + 3 * (seed % 2)) for seed in range(12)]
    draw = np.random.default_rng(2)
    networks = [timed(own, network_ms(own, whole.as_run(own)), draw) for own in readings]
    found = network_points(whole, networks)
    assert [one.measured_ms for one in found] == [one.latency_ms for one in networks]
    assert all(one.low_ms < one.predicted_ms < one.high_ms for one in found)
    predicted, measured = (
        np.array([getattr(one, f"{side}_ms") for one in found]) for side in ("predicted", "measured")
    )
    assert mape(measured, predicted) < 25.0
    # One network ten times as long moves the predictions of the others, and hardly its own.
    longer = network_points(
        whole, [type(networks[0])(**vars(networks[0]) | {"latency_ms": 10 * measured[0]}), *networks[1:]]
    )
    assert longer[0].predicted_ms == pytest.approx(found[0].predicted_ms)
    assert any(
        a.predicted_ms != pytest.approx(b.predicted_ms) for a, b in zip(found[1:], longer[1:], strict=True)
    )


def test_results_of_the_benchmark_are_read(tmp_path):
    path = tmp_path / "networks.json"
    rows = [
        vars(one) | {"covered": True, "kernels": 9} for one in points({"vgg16": 300.0, "mobilenet_w1": 9.0})
    ]
    path.write_text(json.dumps({"networks": rows}))
    assert read_points(path) == points({"vgg16": 300.0, "mobilenet_w1": 9.0})
    path.write_text(json.dumps({"networks": [{"network": "vgg16"}]}))
    with pytest.raises(ArtefactError, match="KeyError: 'batch'"):
        read_points(path)
    with pytest.raises(ArtefactError, match="no such file"):
        read_points(tmp_path / "absent.json")
