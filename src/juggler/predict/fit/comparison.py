"""Every learner on equal terms: the same samples learn, the same are held out, family by family.

Only samples that were drawn at random are held out: those that a committee chose lie where prediction is
hard, and an error on them would say nothing of a kernel that comes by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from juggler.errors import ConfigError, DataError, Unavailable
from juggler.nouns import Noun, Progress, ReportProgress, ignore_progress
from juggler.predict.campaign.store.samples import NoiseFloor
from juggler.predict.kernels.sample import AT_RANDOM, Sample, by_family, latencies_ms
from juggler.predict.kernels.spec import FAMILIES
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.learner import LEARNERS, Epoch, learners_from_samples
from juggler.predict.learning.net_learner import NetLearner
from juggler.predict.learning.scores import Scores, score
from juggler.predict.learning.splits import RowSplit, group_split, random_split

Watch = Callable[[str, str, tuple[Epoch, ...]], None]

SPLITS = ("random", "batch")
FEWEST_TRAINING, FEWEST_HELD = 24, 5


@dataclass(frozen=True)
class LearnerScores(Noun):
    """How one learner does on one family's kernels that it did not see.

    Attributes:
        family: of the kernels.
        learner: its name.
        training: samples that it learned.
        scores: on those held out.
        floor: MAPE between two timings of the same kernels, in percent; None where none were timed again.
    """

    family: str
    learner: str
    training: int
    scores: Scores
    floor: float | None


@dataclass(frozen=True)
class Comparison(Noun):
    """All learners side by side.

    Attributes:
        split: `random` rows, or whole `batch` sizes held out.
        seed: of the split and the learners.
        rows: by family, then the least MAPE first.
        left_out: families with too few samples, and how many those are.
        unavailable: learners that cannot be fitted here, and why.
    """

    split: str
    seed: int
    rows: tuple[LearnerScores, ...]
    left_out: dict[str, int]
    unavailable: dict[str, str]


def compare_learners(
    samples: Sequence[Sample],
    *,
    learners: Sequence[str] | None = None,
    split: str = "random",
    seed: int = 0,
    floors: Sequence[NoiseFloor] = (),
    progress: ReportProgress | None = None,
    watch: Watch | None = None,
) -> Comparison:
    """Fit and score learners on the execution phase of samples, of one machine, backend and thread count.

    Args:
        samples: second timings of the same kernels (`retest`) are left out.
        learners: names; by default all there are.
        split: `random` holds a fifth of the random rows out, `batch` whole batch sizes.
        seed: of the split and the learners.
        floors: how well timings repeat.
        progress: called with fits done and in all.
        watch: called with family, learner and errors by epoch, on those held out too, of what has epochs.

    Raises:
        ConfigError: no such learner or split.
        DataError: no family has enough samples, or they are of several machines or backends.
    """
    if split not in SPLITS:
        raise ConfigError("hold samples out", f"no split {split!r}", f"Choose from {', '.join(SPLITS)}")
    names = [name for name in learners or learners_from_samples() if LEARNERS.get(name)]
    grouped = _grouped(samples)
    parted = {family: parted_samples(members, split, seed) for family, members in grouped.items()}
    usable = {family: part for family, part in parted.items() if part is not None}
    if not usable:
        fault = ", ".join(f"{len(members)} of {family}" for family, members in grouped.items()) or "none"
        remedy = f"Measure {FEWEST_TRAINING + 2 * FEWEST_HELD} or more of a family: juggler campaign"
        raise DataError("compare learners", f"too few samples: {fault}", remedy)
    floor_mapes = {floor.family: floor.mape for floor in floors}
    rows: list[LearnerScores] = []
    unavailable: dict[str, str] = {}
    report = progress or ignore_progress
    total = len(usable) * len(names)
    for done, (family, name) in enumerate(product(usable, names)):
        report(Progress("fit", done, total, "fits"))
        try:
            found_scores = _scores(grouped[family], usable[family], name, seed, watch)
        except Unavailable as error:
            unavailable[name] = error.found
            continue
        training = len(usable[family].train)
        rows.append(LearnerScores(family, name, training, found_scores, floor_mapes.get(family)))
    report(Progress("fit", total, total, "fits"))
    rows.sort(key=lambda row: (FAMILIES.index(row.family), row.scores.mape))
    left_out = {family: len(grouped[family]) for family in parted if family not in usable}
    return Comparison(split, seed, tuple(rows), left_out, unavailable)


def _grouped(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Return the samples of each family that has any, second timings left out."""
    kinds = sorted({(s.machine, s.backend, s.precision, s.threads) for s in samples})
    if len(kinds) > 1:
        fault = "; ".join(f"{m}: {b}, {p}, threads {t}" for m, b, p, t in kinds)
        raise DataError("compare learners", f"samples of several kinds ({fault})", "Name one machine")
    return {family: members for family, members in by_family(samples, FAMILIES).items() if members}


def parted_samples(samples: Sequence[Sample], split: str, seed: int) -> RowSplit | None:
    """Return which samples learn and which are held out, all of one kernel together; None if too few."""
    groups = np.array([s.spec.digest if split == "random" else str(s.spec.batch) for s in samples])
    if len(samples) < FEWEST_TRAINING + FEWEST_HELD or len(np.unique(groups)) < 2:
        return None
    is_random = np.array([sample.sampled_by in AT_RANDOM for sample in samples])
    if split == "batch":
        train, test = group_split(groups, seed=seed)
    else:
        random = np.unique(groups[is_random])
        if len(random) < FEWEST_HELD:
            return None
        chosen = random[random_split(len(random), seed=seed).test]
        train, test = np.flatnonzero(~np.isin(groups, chosen)), np.flatnonzero(np.isin(groups, chosen))
    test = test[is_random[test]]
    if len(train) < FEWEST_TRAINING or len(test) < FEWEST_HELD:
        return None
    return RowSplit(train.astype(np.int64), test.astype(np.int64))


def _scores(samples: Sequence[Sample], part: RowSplit, name: str, seed: int, watch: Watch | None) -> Scores:
    train, test = ([samples[row] for row in rows] for rows in part)
    learner, held = LEARNERS.get(name), (KernelTable.of_samples(test), latencies_ms(test))
    # Networks have a fixed plan and only look at what is held out; others would choose by it.
    looks = watch is not None and isinstance(learner, NetLearner)
    fitted = learner.fit(
        KernelTable.of_samples(train), latencies_ms(train), seed=seed, validation=held if looks else None
    )
    if watch is not None and fitted.history:
        watch(samples[0].spec.family, name, fitted.history)
    return score(held[1], fitted.predict(held[0]))
