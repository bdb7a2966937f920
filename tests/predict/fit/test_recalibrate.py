"""A predictor is corrected for a machine that is faster or slower, and what was found is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import made_up_device as made_up
from juggler.errors import ArtefactError, ConfigError, DataError
from juggler.predict.fit.recalibrate import Correction, correct, corrected, keep, read_correction, recalibrate
from juggler.predict.kernels.sample import Sample
from juggler.predict.kernels.spec import KernelSpec
from juggler.predict.predictor.predictor import Predictor

FACTORS = {"conv": 1.5, "dense": 2.5, "pool": 0.8}
SLOW = replace(made_up.MACHINE, cpu="A slower made-up CPU")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return made_up.predictor()[0]


def measured(count: int, tmp_path: Path) -> list[Sample]:
    """Return samples of another machine: each family slower by a factor of its own."""
    with made_up.fill(tmp_path / "other.sqlite", count, seed=9) as store:
        return [
            replace(one, exec_ms=one.exec_ms * FACTORS.get(one.spec.family, 1.3)) for one in store.samples()
        ]


@pytest.fixture(scope="module")
def correction(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Correction:
    generator = np.random.default_rng(0)
    readings = [made_up.reading(seed, 1) for seed in (41, 42, 43)]
    networks = [
        made_up.timed(own, 2.0 * made_up.network_ms(own, predictor.as_run(own)), generator)
        for own in readings
    ]
    return correct(predictor, measured(120, tmp_path_factory.mktemp("other")), networks, here=SLOW)


def test_factors_are_found(correction: Correction) -> None:
    for family in ("conv", "dense"):
        level = correction.scales[family] * 1.0 ** correction.powers[family]
        assert level == pytest.approx(FACTORS[family], rel=0.35)
    assert 1.1 < correction.scales["*"] < 1.7
    assert correction.kernels == 120 and correction.networks == 3


def test_errors_shrink(predictor: Predictor, correction: Correction, tmp_path: Path) -> None:
    samples = [one for one in measured(220, tmp_path)[120:] if one.spec.family in FACTORS]
    own = corrected(predictor, correction)
    truth = np.log([one.exec_ms for one in samples])
    before, after = (
        np.median(np.abs(np.log(one.kernels_ms([s.spec for s in samples])) - truth))
        for one in (predictor, own)
    )
    assert after < 0.6 * before
    reading = made_up.reading(45, 1)
    assert own.predict(reading).latency_ms > 1.2 * predictor.predict(reading).latency_ms
    assert own.corrected.startswith("recalibrated on 120 kernels and 3 networks")


def test_intervals_do_not_shrink(predictor: Predictor, correction: Correction) -> None:
    own = corrected(predictor, correction)
    for family in predictor.models:
        assert own.intervals.half_width(family) >= predictor.intervals.half_width(family)


def test_a_machine_of_the_same_speed_is_hardly_corrected(predictor: Predictor, tmp_path: Path) -> None:
    with made_up.fill(tmp_path / "same.sqlite", 60, seed=4) as store:
        found = correct(predictor, store.samples(), here=made_up.MACHINE)
    assert found.scales["*"] == pytest.approx(1.0, abs=0.1) and found.network_scale == 1.0


def test_corrections_are_kept_by_machine(
    predictor: Predictor, correction: Correction, tmp_path: Path
) -> None:
    path = keep(correction, tmp_path)
    assert Correction.from_json(path.read_text(encoding="utf-8")) == correction
    assert read_correction(predictor, tmp_path) is None  # of another machine
    assert read_correction(predictor, tmp_path, SLOW) == correction
    path.write_text("{", encoding="utf-8")
    assert read_correction(predictor, tmp_path, SLOW) is None


def test_a_corrected_predictor_is_not_saved_and_others_are_not_corrected(
    predictor: Predictor, correction: Correction, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="recalibrated"):
        corrected(predictor, correction).save(tmp_path / "x.predictor")
    with pytest.raises(ArtefactError, match="another predictor"):
        corrected(replace(predictor, name="other"), correction)
    with pytest.raises(DataError, match="0 kernels"):
        correct(predictor, [])


def test_this_machine_is_really_measured(predictor: Predictor) -> None:
    """A hundredth of a minute is over after the first kernels, which are always the same: take few."""
    few = [KernelSpec("dense", 1, 8 * size, 8 * size) for size in range(1, 5)]
    few += [KernelSpec("add", 1, 8, 8, size, size) for size in range(1, 5)]
    own, found = recalibrate(predictor, minutes=0.001, networks=1, probes=tuple(few))
    assert found.kernels == len(few) >= 5 and found.networks == 1
    assert own.kernels_ms([made_up.reading(41, 1).kernels[-1].spec])
    assert all(scale > 0.0 for scale in found.scales.values())
