"""From timed kernels to a function that gives the milliseconds of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.predict.learning.learner import LEARNERS, Learner, load, save
    from juggler.predict.learning.learners.transferred import transfer
    from juggler.predict.learning.scores import Scores, score
    from juggler.predict.learning.splits import folds, group_split, random_split

__all__ = [
    "LEARNERS",
    "Learner",
    "Scores",
    "folds",
    "group_split",
    "load",
    "random_split",
    "save",
    "score",
    "transfer",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.predict.learning.learner": ["LEARNERS", "Learner", "load", "save"],
        "juggler.predict.learning.learners.transferred": ["transfer"],
        "juggler.predict.learning.scores": ["Scores", "score"],
        "juggler.predict.learning.splits": ["folds", "group_split", "random_split"],
    },
)
