"""Kernels held out in five folds: how far off each is, by what it touches, and from fewer samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import progress
from juggler.predict.campaign.store.samples import NoiseFloor
from juggler.predict.fit.family import fit_family
from juggler.predict.fit.predictor import LEARNED
from juggler.predict.kernels.sample import AT_RANDOM, Sample
from juggler.predict.kernels.spec import FAMILIES
from juggler.predict.learning.scores import score
from juggler.predict.learning.splits import folds
from juggler.predict.predictor.intervals import LEVEL, Intervals

FOLDS = 5
FEWEST = 60  # kernels of a family drawn at random
SIZES_MB = (0.0, 0.03, 0.3, 1.5, 6.0, 20.0, 60.0, math.inf)  # that a kernel touches
SHARES = (0.25, 0.5)  # of the samples, to see how errors fall


@dataclass(frozen=True)
class Held:
    """A kernel that was held out.

    Attributes:
        fold: of which.
        learner: that was chosen for its family.
        measured_ms: what it took.
        predicted_ms: what was predicted.
        half_width: of its interval, in logs.
        megabytes: that it touches.
        sampled_by: from random sizes, or from those of networks.
    """

    fold: int
    learner: str
    measured_ms: float
    predicted_ms: float
    half_width: float
    megabytes: float
    sampled_by: str

    @property
    def is_covered(self) -> bool:
        """Say whether the interval holds what was measured."""
        return abs(math.log(self.measured_ms / self.predicted_ms)) <= self.half_width


def held_out(samples: Sequence[Sample], *, quick: bool) -> dict[str, list[Held]]:
    """Return every kernel drawn at random, by family, as it was predicted without its fold."""
    own = [sample for sample in samples if sample.sampled_by != "retest"]
    grouped = {family: [s for s in own if s.spec.family == family] for family in FAMILIES}
    grouped = {f: g for f, g in grouped.items() if len(at_random(g)) >= FEWEST}
    found: dict[str, list[Held]] = {family: [] for family in grouped}
    count = 1 if quick else FOLDS
    with progress(f"fitting {len(grouped)} families {count} times") as tell:
        for fold in range(count):
            for done, (family, group) in enumerate(grouped.items()):
                tell(fold * len(grouped) + done, count * len(grouped))
                found[family] += one_fold(family, group, fold)
        tell(count * len(grouped), count * len(grouped))
    return found


def at_random(samples: Sequence[Sample]) -> list[str]:
    """Return the kernels that were drawn at random and chosen by no committee besides, in one order."""
    chosen = {s.spec.digest for s in samples if s.sampled_by not in AT_RANDOM}
    return sorted({s.spec.digest for s in samples if s.sampled_by in AT_RANDOM} - chosen)


def one_fold(family: str, samples: Sequence[Sample], fold: int) -> Iterator[Held]:
    """Yield the kernels of one fold, predicted by what was fitted to all others."""
    random = np.array(at_random(samples))
    apart = {*random[folds(len(random), FOLDS, seed=0)[fold].test]}
    rest = [sample for sample in samples if sample.spec.digest not in apart]
    held = [sample for sample in samples if sample.spec.digest in apart]
    fitted = fit_family(family, rest, LEARNED, seed=fold)
    words = [family] * len(fitted.measured_ms)
    width = Intervals.fit(words, fitted.measured_ms, fitted.predicted_ms, level=LEVEL).half_width(family)
    predicted = fitted.model.predict([sample.spec for sample in held])
    for sample, ms in zip(held, predicted, strict=True):
        learner, megabytes = fitted.model.learner, sample.spec.bytes / 1e6
        yield Held(fold, learner, sample.exec_ms, float(ms), width, megabytes, sample.sampled_by)


def from_fewer(family: str, samples: Sequence[Sample]) -> list[dict[str, float]]:
    """Return the error on the same held-out kernels from shares of the samples, drawn at random."""
    own = [sample for sample in samples if sample.sampled_by != "retest"]
    random = np.array(at_random(own))
    found = []
    with progress(f"{family} from fewer samples") as tell:
        for number, share in enumerate(SHARES):
            errors: list[float] = []
            for fold in range(FOLDS):
                tell(number * FOLDS + fold, len(SHARES) * FOLDS)
                apart = {*random[folds(len(random), FOLDS, seed=0)[fold].test]}
                rest = [sample for sample in own if sample.spec.digest not in apart]
                few = np.random.default_rng(fold).permutation(len(rest))[: round(share * len(rest))]
                fitted = fit_family(family, [rest[int(index)] for index in few], LEARNED, seed=fold)
                held = [sample for sample in own if sample.spec.digest in apart]
                predicted = fitted.model.predict([sample.spec for sample in held])
                errors += list(np.abs(predicted / np.array([sample.exec_ms for sample in held]) - 1.0))
            found.append(
                {"share": share, "samples": round(share * len(rest)), "mape": 100.0 * float(np.mean(errors))}
            )
        tell(len(SHARES) * FOLDS, len(SHARES) * FOLDS)
    return found


def floor_later(samples: Sequence[Sample], later: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Return how far kernels lie from their first time that a copy of the database timed again later."""
    last = max(sample.taken_at for sample in samples)
    first = {sample.spec.digest: sample for sample in samples if sample.sampled_by in AT_RANDOM}
    pairs = [(first[s.spec.digest], s) for s in later if s.sampled_by == "retest" and s.taken_at > last]
    found = {}
    for family in sorted({again.spec.family for _, again in pairs}):
        own = [pair for pair in pairs if pair[1].spec.family == family]
        errors = [100.0 * abs(again.exec_ms / once.exec_ms - 1.0) for once, again in own]
        hours = [_seconds(again) / 3600.0 - _seconds(once) / 3600.0 for once, again in own]
        found[family] = {
            "samples": len(own),
            "mape": float(np.mean(errors)),
            "median_ape": float(np.median(errors)),
            "hours": float(np.median(hours)),
        }
    return found


def _seconds(sample: Sample) -> float:
    return datetime.fromisoformat(sample.taken_at).timestamp()


def by_part(held: Sequence[Held], errors: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return errors by the memory that kernels touch and by where they were drawn."""
    sizes, origins = np.array([one.megabytes for one in held]), np.array([one.sampled_by for one in held])

    def mean(chosen: npt.NDArray[np.bool_]) -> dict[str, float]:
        return {
            "n": int(chosen.sum()),
            "mape": float(errors[chosen].mean()),
            "median": float(np.median(errors[chosen])),
        }

    parts = [(low, high, (sizes >= low) & (sizes < high)) for low, high in pairwise(SIZES_MB)]
    return {
        "by_size": [
            {"from_mb": low, "to_mb": high if math.isfinite(high) else None, **mean(chosen)}
            for low, high, chosen in parts
            if chosen.any()
        ],
        "by_draw": {name: mean(origins == name) for name in sorted({*origins.tolist()})},
    }


def row(held: Sequence[Held], floor: NoiseFloor | None) -> dict[str, Any]:
    """Return the scores of one family, over all folds and of each."""
    measured, predicted = (
        np.array([getattr(one, f"{name}_ms") for one in held]) for name in ("measured", "predicted")
    )
    errors = 100.0 * np.abs(predicted / measured - 1.0)
    parts = sorted({one.fold for one in held})
    by_fold = [float(errors[[one.fold == fold for one in held]].mean()) for fold in parts]
    return {
        "scores": score(measured, predicted).to_dict(),
        "median_error": float(np.median(errors)),
        "mape_by_fold": by_fold,
        **by_part(held, errors),
        "learners": sorted({one.learner for one in held}),
        "covered": float(np.mean([one.is_covered for one in held])),
        "times_up": float(np.exp(np.median([one.half_width for one in held]))),
        "floor": None if floor is None else floor.to_dict(),
    }
