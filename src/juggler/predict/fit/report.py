"""What a predictor was fitted on, and how well it does: kept in the predictor itself."""

from __future__ import annotations

from dataclasses import dataclass

from juggler.nouns import Noun
from juggler.predict.campaign.store.samples import NoiseFloor
from juggler.predict.learning.scores import Scores


@dataclass(frozen=True)
class FamilyReport(Noun):
    """How the learner of a family came out.

    Attributes:
        family: of the kernels.
        learner: the one that was chosen.
        chosen_from: validation MAPE of each learner, in percent, no error above 100; empty where one was
            taken unasked.
        training: samples that it was fitted on.
        calibration: samples that it has not seen, which `scores` and the interval are of.
        scores: on those; None without any.
        half_width: of the interval, as a share: 0.1 is 10 % up, and as far down.
    """

    family: str
    learner: str
    chosen_from: dict[str, float]
    training: int
    calibration: int
    scores: Scores | None
    half_width: float


@dataclass(frozen=True)
class NetworkReport(Noun):
    """How networks came out, each by a composition that was fitted without it.

    Attributes:
        names: different networks.
        timed: of them, each batch counted.
        scores: of the composition; None without networks.
        paper_scores: of the paper's Eq. 2 on the same ones, where there is pre- and postprocessing.
        half_width: of the interval, as a share; None where there are too few networks.
    """

    names: int = 0
    timed: int = 0
    scores: Scores | None = None
    paper_scores: Scores | None = None
    half_width: float | None = None


@dataclass(frozen=True)
class FitReport(Noun):
    """What was fitted on what.

    Attributes:
        device: the predictor's name.
        samples: that were used.
        families: of each family's learner.
        left_out: families with too few samples, and how many those were.
        floors: how well timings of the same kernels repeat.
        networks: that the composition was fitted on.
        seed: of the splits and the learners.
    """

    device: str
    samples: int
    families: tuple[FamilyReport, ...]
    left_out: dict[str, int]
    floors: tuple[NoiseFloor, ...]
    networks: NetworkReport
    seed: int
