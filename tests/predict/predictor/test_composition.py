"""Networks are composed by known coefficients, found again from timed networks; Eq. 2 stands beside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggler.errors import ConfigError
from juggler.predict.extract.kernels import ExtractedKernels, NetworkKernel, Uncovered
from juggler.predict.kernels.spec import KernelSpec
from juggler.predict.predictor.composition import (
    Composition,
    Parts,
    coldness,
    farness,
    is_cold,
    paper_composition,
)

TRUE = Composition(0.05, 0.003, 1.1, 1.2, 1.3, 0.9, 0.04, 0.15, -0.2, networks=40)


def networks(generator: np.random.Generator, count: int) -> list[Parts]:
    return [
        Parts(
            int(generator.integers(5, 300)),
            {
                "conv": float(generator.lognormal(1.0, 1.0)),
                "depthwise": float(generator.lognormal(-1.0, 1.0)),
                "dense": float(generator.lognormal(-1.0, 1.5)),
                "pool": float(generator.lognormal(-1.5, 1.0)),
            },
            int(generator.lognormal(16.0, 1.0)) * int(generator.integers(2)),
            int(generator.lognormal(12.0, 2.0)) * int(generator.integers(2)),
            float(generator.lognormal(1.0, 1.0)) * int(generator.integers(2)),
        )
        for _ in range(count)
    ]


def test_the_coefficients_are_found_again() -> None:
    generator = np.random.default_rng(0)
    parts = networks(generator, 60)
    measured = [TRUE.compose(part) * np.exp(0.01 * generator.normal()) for part in parts]
    measured[0] *= 3.0  # one timing that went wrong
    found = Composition.fit(parts, measured)
    assert found.networks == 60
    errors = [abs(found.compose(p) / TRUE.compose(p) - 1.0) for p in networks(generator, 50)]
    assert np.mean(errors) < 0.02
    assert found.far == pytest.approx(-0.2, abs=0.05)
    assert found.dense == pytest.approx(1.3, abs=0.15) and found.convolutions == pytest.approx(1.1, abs=0.03)


def test_a_few_networks_move_only_what_they_tell_of() -> None:
    parts = [Parts(10, {"conv": 5.0}, 0, 0), Parts(20, {"conv": 9.0}, 0, 0)]
    found = Composition.fit(parts, [6.5, 11.5])
    assert found.convolutions > 1.1
    assert (found.dense, found.others) == (pytest.approx(1.0), pytest.approx(1.0))
    assert Composition.fit([], []) == Composition()


def test_a_network_at_many_batches_is_one_network() -> None:
    slow, fast = Parts(1, {"conv": 10.0}, 0, 0), Parts(1, {"conv": 10.0}, 0, 0)
    parts, times = [slow] * 50 + [fast] * 1, [12.0] * 50 + [9.0]
    apart = Composition.fit(parts, times)
    together = Composition.fit(parts, times, ["slow"] * 50 + ["fast"])
    assert together.networks == 2 and together.convolutions < apart.convolutions - 0.03


SPECS = (
    KernelSpec("conv", 1, 8, 8, 10, 10, kernel=(3, 3), pads=(1, 1, 1, 1)),
    KernelSpec("reorder", 1, 8, 8, 10, 10, kind="from_blocked"),
    KernelSpec("dense", 1, 800, 10, kind="gemm"),
)


def reading() -> ExtractedKernels:
    kernels = tuple(NetworkKernel(f"n{i}", "op", spec) for i, spec in enumerate(SPECS))
    return ExtractedKernels(
        "net", "onnxruntime", "1", (1, 8, 10, 10), kernels, (Uncovered("Odd", "o", 2, 5000),), 3
    )


def test_parts_are_those_of_the_reading() -> None:
    net = reading()
    assert net.nodes == 8
    parts = Parts.of(net, [2.0, 0.5, None], cache_bytes=10)
    assert parts.kernels_ms == {"conv": 2.0, "reorder": 0.5}
    assert parts.uncovered_bytes == 5000 + SPECS[2].bytes
    assert parts.cold_bytes == net.weight_bytes > 0
    assert not is_cold(net, 10**9) and Parts.of(net, [1.0, 1.0, 1.0], 10**9).cold_bytes == 0


def test_weights_get_cold_step_by_step() -> None:
    net = reading()
    touched = net.weight_bytes + net.largest_bytes
    found = [coldness(net, cache) for cache in (2 * touched, touched, touched // 4, touched // 16, 1)]
    assert found == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0], abs=0.01)
    assert [is_cold(net, cache) for cache in (touched, touched - 1)] == [False, True]


def test_kernels_are_far_by_what_they_move_but_for_weights() -> None:
    sizes = (64, 128, 256, 512, 1024)  # 4 to 1,050 MB in and out, at 16 channels
    far = [farness(KernelSpec("conv", 8, 16, 16, side, side, kernel=(1, 1))) for side in sizes]
    assert far[0] == 0.0 and far[-1] == 1.0 and far == sorted(far) and 0.0 < far[1] < 1.0
    assert farness(KernelSpec("dense", 1, 30_000, 10_000, kind="gemm")) == 0.0
    large, small = (KernelSpec("conv", 8, 16, 16, side, side, kernel=(1, 1)) for side in (1024, 8))
    assert (TRUE.gain(large), TRUE.gain(small)) == pytest.approx((0.9, 1.1))


def test_large_kernels_are_summed_for_their_own_price() -> None:
    large = KernelSpec("conv", 8, 16, 16, 1024, 1024, kernel=(1, 1))
    kernels = tuple(NetworkKernel(f"n{i}", "op", spec) for i, spec in enumerate((large, SPECS[0])))
    parts = Parts.of(
        ExtractedKernels("net", "onnxruntime", "1", (8, 16, 1024, 1024), kernels, (), 0), [7.0, 2.0], 10
    )
    assert parts.far_ms == 7.0 and parts.kernels_ms == {"conv": 9.0}
    assert TRUE.compose(parts) == pytest.approx(
        TRUE.fixed_ms + 2 * TRUE.node_ms + 1.1 * 9.0 - 0.2 * 7.0 + 0.04 * parts.cold_bytes / 1e6
    )


@given(st.lists(st.floats(0.001, 1e3), min_size=3, max_size=3), st.floats(1.01, 10.0))
def test_a_network_whose_kernels_all_take_longer_takes_longer(times, factor) -> None:
    own, slower = (Parts.of(reading(), [f * t for t in times], 1) for f in (1.0, factor))
    assert TRUE.compose(slower) > TRUE.compose(own)
    by_hand = TRUE.fixed_ms + 8 * TRUE.node_ms + 1.1 * times[0] + 0.9 * times[1] + 1.3 * times[2]
    by_hand += 0.04 * own.cold_bytes / 1e6 + 0.15 * own.uncovered_bytes / 1e6
    assert TRUE.compose(own) == pytest.approx(by_hand)


def test_the_papers_composition_is_equation_2() -> None:
    assert paper_composition(["conv", "reorder", "dense"], 1.0, [5.0, 2.0, 3.0], 0.5) == 9.5


def test_durations_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="above 0"):
        Composition.fit([Parts(1, {}, 0, 0)], [0.0])
