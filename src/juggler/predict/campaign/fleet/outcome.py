"""What a fleet has measured."""

from __future__ import annotations

from dataclasses import dataclass

from juggler.nouns import Noun
from juggler.predict.campaign.outcome import Outcome


@dataclass(frozen=True)
class FleetOutcome(Noun):
    """What a fleet has measured.

    Attributes:
        outcomes: of each campaign, one for each kind of machine.
        workers: that measured, at the start.
        lost: workers that could not work, or died, and why.
        unfinished: campaigns that no worker is left for.
        stopped: whether it was interrupted.
    """

    outcomes: tuple[Outcome, ...]
    workers: int
    lost: tuple[str, ...]
    unfinished: tuple[str, ...]
    stopped: bool
