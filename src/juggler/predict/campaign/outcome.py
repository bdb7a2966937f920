"""What makes a campaign the same one, and what it has."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from juggler.nouns import Noun
from juggler.predict.campaign.store.samples import NoiseFloor


@dataclass(frozen=True)
class Campaign(Noun):
    """What makes a campaign the same one: everything but how long it runs.

    Attributes:
        backend: what runs the kernels.
        threads: cores that a kernel may use.
        families: shares of the draws.
        seed: of all draws and orders.
        active: whether half of the samples are chosen by a committee.
        machine: digest of the machine's record.
        rounds: turns of each kernel.
        cap_ms: longest kernel drawn, by the roofline; a few are five times as long.
    """

    backend: str
    threads: int
    families: dict[str, float]
    seed: int
    active: bool
    machine: str
    rounds: int
    cap_ms: float

    @property
    def name(self) -> str:
        """Return what the database calls it."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return f"{self.backend}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class Outcome(Noun):
    """What a campaign has now.

    Attributes:
        campaign: its name in the database.
        samples: that it has in all.
        new: that this run has added.
        unfit: kernels that the runtime did not make, left out.
        redone: blocks of this run that were measured again because the canary had moved.
        seconds: under measurement in all.
        floors: how well timings repeat, by family.
        stopped: whether it was interrupted.
    """

    campaign: str
    samples: int
    new: int
    unfit: int
    redone: int
    seconds: float
    floors: tuple[NoiseFloor, ...]
    stopped: bool


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
