"""The committee asks for what it knows least of, for the time that it takes."""

from __future__ import annotations

import numpy as np

from juggler.predict import KernelSpec, Sample
from juggler.predict.campaign.active import committee


def sample(spec, exec_ms, sampled_by="random"):
    return Sample(
        spec, "onnxruntime", "float32", 1, 0.0, exec_ms, 0.0, 0.0, 3, 0, sampled_by, "here", "2026-01-01"
    )


def dense(channels, rows=1):
    return KernelSpec("dense", rows, channels, channels)


def test_what_varies_unforeseeably_is_worth_more_than_what_is_known():
    draw = np.random.default_rng(0)
    known = [sample(dense(c), 1e-7 * c * c + 0.01) for c in range(8, 400, 8)]
    odd = [sample(dense(c), (1e-7 * c * c + 0.01) * draw.uniform(0.2, 5.0)) for c in range(400, 800, 8)]
    pool = [dense(c) for c in range(12, 392, 8)] + [dense(c) for c in range(404, 800, 8)]
    chosen = committee(pool, known + odd, count=10)
    assert len(set(chosen)) == 10
    assert sum(index >= 48 for index in chosen) >= 8


def test_families_keep_their_shares_however_noisy_one_is():
    draw = np.random.default_rng(0)
    calm = [sample(dense(c), 1e-7 * c * c + 0.01) for c in range(8, 400, 8)]
    noisy = [
        sample(KernelSpec("softmax", 1, c, c), (1e-6 * c + 0.01) * draw.uniform(0.2, 5.0))
        for c in range(8, 400, 8)
    ]
    pool = [dense(c) for c in range(12, 392, 8)] + [KernelSpec("softmax", 1, c, c) for c in range(12, 392, 8)]
    chosen = committee(pool, calm + noisy, count=20)
    assert 4 <= sum(index < 48 for index in chosen) <= 16


def test_of_two_unknown_kernels_the_cheap_one_comes_first():
    samples = [sample(dense(c), 1e-6 * c * c + 0.01) for c in (8, 64, 512)]
    pool = [KernelSpec("softmax", 64, 4096, 4096, 512), KernelSpec("softmax", 1, 16, 16)] * 10
    assert all(index % 2 for index in committee(pool, samples, count=5))


def test_the_choice_repeats():
    samples = [sample(dense(c), 1e-6 * c * c + 0.01) for c in range(8, 200, 8)]
    pool = [dense(c, rows) for c in range(10, 90, 8) for rows in (1, 5)]
    assert committee(pool, samples, count=4, seed=3) == committee(pool, samples, count=4, seed=3)
