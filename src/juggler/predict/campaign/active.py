"""Choose what to measure next: where a committee disagrees most for the time that it costs.

The committee is a few small boosted trees, each fitted to its own resample of what was measured, on the log
of time over roofline, family by family. It is rebuilt each time it is asked; that takes about a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from juggler.arrays import Floats
from juggler.predict.kernels.probes import RoughRoofline
from juggler.predict.kernels.sample import Sample
from juggler.predict.kernels.sizes import DERIVED
from juggler.predict.kernels.spec import CATEGORIES, KernelSpec
from juggler.predict.kernels.table import FIELDS, KernelTable

MEMBERS, TREES, DEPTH, RATE = 4, 60, 4, 0.15
FEWEST = 12  # samples of a family before it has a committee
SETUP_MS = 60.0  # what a sample takes besides its calls, so that tiny kernels are not taken for free
CALLS = 8.0  # of a kernel, all rounds together, where it is long
UNKNOWN = 0.5  # disagreement, in logs, on a family that has too few samples


def committee(
    pool: Sequence[KernelSpec], samples: Sequence[Sample], *, count: int = 20, seed: int = 0
) -> list[int]:
    """Return the places in the pool of the kernels to measure next, the most worth first.

    Worth is the standard deviation of the members' logs over what the measurement costs, relative to that of
    its family: families keep about the shares that they have in the pool. Of kernels that are worth much and
    alike not all are taken: each is drawn with a chance by its worth among the best.

    Args:
        pool: kernels that could be measured.
        samples: what was measured, probes among it.
        count: how many to return.
        seed: of the resamples and the draw.
    """
    roof = RoughRoofline.of([sample for sample in samples if sample.sampled_by == "probe"] or list(samples))
    draw = np.random.default_rng([seed, len(samples)])
    spread, log_ms = np.full(len(pool), UNKNOWN), np.log([roof(spec) for spec in pool])
    for family in sorted({spec.family for spec in pool}):
        at = np.flatnonzero([spec.family == family for spec in pool])
        known = [sample for sample in samples if sample.spec.family == family]
        if len(known) < FEWEST:
            continue
        votes = _votes(known, [pool[int(index)] for index in at], roof, draw)
        spread[at], log_ms[at] = votes.std(axis=0), log_ms[at] + votes.mean(axis=0)
    worth = spread / (SETUP_MS + CALLS * np.exp(log_ms))
    for family in {spec.family for spec in pool}:  # else the one whose timings are noisiest would get all
        at = np.flatnonzero([spec.family == family for spec in pool])
        worth[at] /= worth[at].mean()
    best = np.argsort(-worth)[: max(count, len(pool) // 4)]
    chosen = draw.choice(best, min(count, best.size), replace=False, p=worth[best] / worth[best].sum())
    return [int(index) for index in sorted(chosen, key=lambda index: -worth[index])]


def _votes(
    known: Sequence[Sample], pool: Sequence[KernelSpec], roof: RoughRoofline, draw: np.random.Generator
) -> Floats:
    """Return each member's log of time over roofline, `[members, pool]`."""
    from juggler.predict.learning.boosting import xgboost  # noqa: PLC0415  # heavy

    package: Any = xgboost()
    table = KernelTable.of([*(sample.spec for sample in known), *pool])
    matrix = _features(table)
    seen, unmeasured = matrix[: len(known)], package.DMatrix(matrix[len(known) :])
    target = np.log([sample.exec_ms / roof(sample.spec) for sample in known])
    votes = []
    for _ in range(MEMBERS):
        rows = draw.integers(len(known), size=len(known))
        settings = {
            "max_depth": DEPTH, "eta": RATE, "nthread": 1, "seed": int(draw.integers(1 << 30)),
            "colsample_bynode": 0.6, "verbosity": 0,
        }  # fmt: skip
        member = package.train(settings, package.DMatrix(seen[rows], target[rows]), TREES)
        votes.append(member.predict(unmeasured))
    return np.asarray(votes, np.float64)


def _features(table: KernelTable) -> Floats:
    """Return logs of all sizes and of what follows from them, and categories as numbers, `[n, features]`."""
    numbers = [np.log1p(table[name]) for name in (*FIELDS, *DERIVED)]
    codes = [np.unique(table[name], return_inverse=True)[1].astype(np.float64) for name in CATEGORIES]
    return np.stack([*numbers, *codes], axis=1)
