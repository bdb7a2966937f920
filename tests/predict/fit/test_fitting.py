"""Predictors are fitted to databases: what calibrates is not trained on, and what is missing is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import made_up_device as made_up
from juggler.errors import ArtefactError, ConfigError, DataError
from juggler.predict.campaign.networks import (
    beside,
    keep_networks,
    kept_networks,
    networks_for,
    time_networks,
)
from juggler.predict.campaign.options import CampaignOptions
from juggler.predict.campaign.run import run_campaign
from juggler.predict.campaign.store.samples import Store
from juggler.predict.fit.family import _parted, fit_family
from juggler.predict.fit.predictor import fit_predictor
from juggler.predict.kernels.spec import KernelSpec
from juggler.predict.predictor.machine import differences


def test_the_report_tells_what_was_fitted_on_what() -> None:
    predictor, report, networks = made_up.predictor()
    assert 390 <= report.samples <= 440  # some draws come twice
    assert {one.family for one in report.families} == set(predictor.models)
    by_family = {one.family: one for one in report.families}
    assert by_family["conv"].scores is not None and by_family["conv"].scores.mape < 30.0
    assert by_family["conv"].calibration == pytest.approx(0.2 * 150, abs=15)
    assert networks.names == 20 and networks.scores is not None and networks.paper_scores is not None
    assert networks.scores.mape < networks.paper_scores.mape
    assert predictor.composition.networks == 20


def samples(count: int, drawn: str = "random", seed: int = 0) -> list:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 2000, (count, 3))
    return [
        made_up.sample_of(KernelSpec("dense", int(b), int(i), int(o)), generator, drawn) for b, i, o in sizes
    ]


def test_calibration_is_random_and_unseen() -> None:
    own = [*samples(100), *samples(40, "active", 1), *samples(10, "probe", 2)]
    own += [replace(own[0], sampled_by="active"), replace(own[1], exec_ms=9.0)]
    training, calibration = _parted(own, seed=0)
    assert len(calibration) in (20, 21) and len(training) + len(calibration) == len(own)
    assert {one.sampled_by for one in calibration} == {"random"}
    assert {one.spec for one in training}.isdisjoint(one.spec for one in calibration)
    assert own[0] in training  # a committee chose it as well
    assert _parted(own, seed=1)[1] != calibration


def test_the_learner_that_does_best_on_a_part_is_taken() -> None:
    own = fit_family("dense", samples(80), ["polynomial", "roofline_trees"], seed=0)
    assert set(own.chosen_from) == {"polynomial", "roofline_trees"}
    assert own.model.learner == min(own.chosen_from, key=lambda name: own.chosen_from[name])
    assert set(own.model.phases) == {"exec", "pre", "post"}
    assert own.measured_ms.size == 16


def test_databases_that_cannot_be_fitted_are_told(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.sqlite", create=True) as store:
        with pytest.raises(DataError, match="no sample"):
            fit_predictor(store)
        store.add_machine(made_up.MACHINE)
        for one in samples(5):
            store.add(one, "c")
        with pytest.raises(DataError, match="5 samples, fewer"):
            fit_predictor(store)
        with pytest.raises(ConfigError, match="learner"):
            fit_predictor(store, learners=["cake"])
        for one in samples(5, seed=3):
            store.add(replace(one, machine="0" * 16), "c")
        with pytest.raises(DataError, match="several kinds"):
            fit_predictor(store)
        with pytest.raises(DataError, match="no record"):
            fit_predictor(store, machine="0" * 16)


def test_networks_are_timed_and_kept(tmp_path: Path) -> None:
    found = time_networks(count=2, rounds=1, seed=5)
    assert len(found) == 2 and all(one.latency_ms > 0.0 for one in found)
    path = beside(tmp_path / "a.sqlite")
    assert kept_networks(path) == []
    assert kept_networks(keep_networks(found, path)) == found
    assert found[0].reading.shape[0] >= 1 and found[0].reading.kernels
    path.write_text('[{"name": 1}]', encoding="utf-8")
    with pytest.raises(ArtefactError):
        kept_networks(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ArtefactError, match="no JSON text"):
        kept_networks(path)
    with pytest.raises(ConfigError, match="count=0"):
        time_networks(count=0)


def test_a_real_campaign_becomes_a_prediction(tmp_path: Path) -> None:
    """Measure a few small kernels and networks on this machine, fit, and predict one of the networks."""
    with Store.open(tmp_path / "real.sqlite", create=True) as store:
        families = {"dense": 1.0, "conv": 1.0}
        run_campaign(store, CampaignOptions(samples=24, families=families, rounds=1, cap_ms=0.3))
        timed = networks_for(store, count=2)
        assert networks_for(store, count=9) == timed == kept_networks(beside(store.path))
        predictor, report = fit_predictor(store, learners=["polynomial"], networks=timed)
        assert networks_for(store, machine="of another", count=1) == timed
    assert report.networks.timed == 2 and predictor.composition.networks == 2
    assert differences(predictor) == ()
    found = predictor.predict(timed[0].reading)
    assert 0.0 < found.low_ms < found.latency_ms < found.high_ms
    assert {layer.family for layer in found.layers} <= {"conv", "dense"} <= set(predictor.models)
    assert found.uncovered and found.uncovered_ms > 0.0  # no pool was measured, no reorder
    beside(tmp_path / "real.sqlite").unlink()
    with Store.open(tmp_path / "real.sqlite") as store:
        assert networks_for(store, machine="of another", count=1) == networks_for(store, count=0) == []
