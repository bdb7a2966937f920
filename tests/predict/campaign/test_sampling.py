"""Draws fit into time and memory, follow their seed and their place, and leave the held-out networks out."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from itertools import islice

import numpy as np
import pytest

from juggler.errors import ConfigError
from juggler.predict.campaign.held_out import is_held_out
from juggler.predict.campaign.random_kernels import ranged
from juggler.predict.campaign.sampling import SHARES, Space, families
from juggler.predict.campaign.timing import resident_bytes
from juggler.predict.kernels.probes import RoughRoofline, probes
from juggler.predict.kernels.spec import FAMILIES

ROOF = RoughRoofline(overhead_ms=0.002, operations_per_ms=5e7, bytes_per_ms=1e7)
SPACE = Space(ROOF, memory_bytes=1 << 30)


def drawn(n, seed=0, start=0, space=SPACE):
    return list(islice(space.draw(seed, start), n))


@pytest.fixture(scope="module")
def many():
    return drawn(600)


def test_every_family_is_drawn_by_its_share(many):
    found = Counter(draw.spec.family for draw in many)
    assert set(found) == set(SHARES) == set(FAMILIES)
    assert abs(found["conv"] / 600 - 0.44) < 0.08


def test_half_of_the_draws_follow_networks(many):
    assert 240 < sum(draw.sampled_by == "network" for draw in many) < 360
    assert {draw.sampled_by for draw in many} == {"network", "random"}


def test_draws_fit_into_time_and_memory(many):
    times = [ROOF(draw.spec) for draw in many]
    assert max(times) <= SPACE.long_ms
    assert sum(time > SPACE.cap_ms for time in times) <= 0.05 * len(times)
    assert max(resident_bytes(draw.spec) for draw in many) <= SPACE.memory_bytes


def test_draws_cover_batches_sizes_fusions_and_cold_weights(many):
    convolutions = [draw.spec for draw in many if draw.spec.family == "conv"]
    assert {1, 3, 5, 7} <= {spec.kernel[0] for spec in convolutions}
    assert {1, 2} <= {spec.stride[1] for spec in convolutions}
    assert {"none", "relu", "sigmoid"} <= {spec.activation for spec in convolutions}
    assert any(spec.adds for spec in convolutions)
    assert any(spec.groups > 1 for spec in convolutions)
    assert len({spec.batch for spec in convolutions}) > 20
    dense = [draw.spec for draw in many if draw.spec.family == "dense"]
    assert {spec.kind for spec in dense} == {"gemm", "matmul", "product"}
    assert {spec.cold for spec in dense} == {True, False}
    assert all(spec.macs > 0 for spec in convolutions)


def test_log_uniform_draws_have_windows_that_fit_on_their_map():
    generator = np.random.default_rng(0)
    found = [ranged(family, generator, uniform=False) for family in ("conv", "pool", "depthwise") * 60]
    made = [spec for spec in found if spec is not None]
    assert len(made) > 60
    assert all(k <= size for s in made for k, size in zip(s.kernel, (s.height, s.width), strict=True))
    single = [spec.family for spec in made if spec.kernel == (1, 1)]
    assert single.count("conv") > 2 * (single.count("pool") + single.count("depthwise"))


def test_no_depthwise_convolution_has_one_channel():
    found = [ranged("depthwise", np.random.default_rng(seed), uniform=False) for seed in range(2_000)]
    assert min(spec.in_channels for spec in found if spec is not None) == 2, "of one, networks read a conv"


def test_a_draw_depends_on_seed_and_place_only():
    assert drawn(3, start=5) == drawn(8)[5:]
    assert drawn(8) == drawn(8)
    assert drawn(8) != drawn(8, seed=1)


def test_a_shorter_cap_draws_shorter_kernels():
    space = Space(ROOF, cap_ms=0.1, long_ms=0.5, memory_bytes=1 << 26)
    assert max(ROOF(draw.spec) for draw in drawn(60, space=space)) <= 0.5


def test_what_cannot_be_drawn_is_told():
    with pytest.raises(ConfigError, match="no conv kernel within 1e-06 ms"):
        drawn(1, space=Space(ROOF, {"conv": 1.0}, cap_ms=1e-6, long_ms=1e-6))
    with pytest.raises(ConfigError, match="cov"):
        Space(ROOF, {"cov": 1.0})


def test_families_are_chosen_by_name():
    assert families("conv, pool") == {"conv": SHARES["conv"], "pool": SHARES["pool"]}
    assert families(None) == SHARES
    for wrong in ("cov", ","):
        with pytest.raises(ConfigError, match="Choose from conv, depthwise"):
            families(wrong)


def test_the_shapes_come_from_networks_that_are_not_held_out():
    text = files("juggler.predict").joinpath("network_shapes.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert len(found["networks"]) > 25
    assert [name for name in found["networks"] if is_held_out(name)] == []
    assert len(found["shapes"]) > 800
    assert len({tuple(row) for row in found["shapes"]}) == len(found["shapes"])


def test_the_roof_is_the_best_of_the_probes():
    assert [spec for spec in probes(200.0) if ROOF(spec) > 200.0] == []
    assert 3 < len(probes(1.0)) < len(probes(200.0))
    with pytest.raises(ConfigError, match="no sample"):
        RoughRoofline.of([])
