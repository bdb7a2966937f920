"""What a campaign is run with: one options object for this machine, for a fleet and for the command line."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from juggler.errors import ConfigError
from juggler.nouns import Noun
from juggler.predict.campaign.sampling import CAP_MS, SHARES, check_families
from juggler.predict.kernels.sample import Sample
from juggler.predict.kernels.spec import KernelSpec

Chooser = Callable[[Sequence[KernelSpec], Sequence[Sample]], Sequence[int]]
LEAST = {"minutes": 1e-3, "retest": 0, "seed": 0, "cap_ms": 1e-3}  # of the others 1


@dataclass(frozen=True)
class CampaignOptions(Noun):
    """How a campaign is run, checked when made.

    A campaign is the same one where backend, threads, families, seed, rounds, cap, machine and the presence
    of a chooser are; minutes and samples count what it had before. On a fleet they are those of each kind of
    machine, all of its workers together.

    Attributes:
        backend: what runs the kernels.
        minutes: under measurement, all runs of the campaign together.
        samples: of kernels, probes and second measurements not counted.
        families: shares of the draws; None is `juggler.predict.campaign.sampling.SHARES`.
        threads: cores that a kernel may use.
        seed: of all draws and orders.
        retest: how many kernels are measured again at the end.
        rounds: turns of each kernel.
        cap_ms: longest kernel drawn, by the roofline, in milliseconds; a few are five times as long.
        block_size: kernels that are measured together.
        first_choice: samples before a chooser chooses.
        pool_size: draws that a chooser is shown.
        probes: kernels that a rough roofline is drawn from; None takes `probes` of `kernels.probes`.

    Raises:
        ConfigError: neither minutes nor samples, a number out of range, or no such family.
    """

    backend: str = "onnxruntime"
    minutes: float | None = None
    samples: int | None = None
    families: Mapping[str, float] | None = None
    threads: int = 1
    seed: int = 0
    retest: int = 0
    rounds: int = 6
    cap_ms: float = CAP_MS
    block_size: int = 20
    first_choice: int = 100
    pool_size: int = 1500
    probes: tuple[KernelSpec, ...] | None = None

    def __post_init__(self) -> None:
        if self.minutes is None and self.samples is None:
            raise ConfigError("run a campaign", "neither minutes nor samples", "Say how long, or how many")
        numbers = {
            name: number
            for name, number in vars(self).items()
            if isinstance(number, int | float) and not isinstance(number, bool)
        }
        bad = [
            f"{name} {number}"
            for name, number in numbers.items()
            if not (math.isfinite(number) and number >= LEAST.get(name, 1))
        ]
        if bad:
            raise ConfigError("run a campaign", ", ".join(bad), "Give more than 0 of each; retest may be 0")
        check_families(self.shares)

    @property
    def shares(self) -> dict[str, float]:
        """Return the shares of the draws, by family."""
        return dict(SHARES if self.families is None else self.families)

    @property
    def most_seconds(self) -> float:
        """Return the seconds under measurement; infinite where only samples end the campaign."""
        return math.inf if self.minutes is None else 60.0 * self.minutes

    @property
    def most_samples(self) -> float:
        """Return the samples that end the campaign; infinite where only minutes do."""
        return math.inf if self.samples is None else self.samples


def as_options(options: CampaignOptions | str | None, keywords: dict[str, Any]) -> CampaignOptions:
    """Return the options of a call; the keywords of the last release become them, with a warning.

    Raises:
        ConfigError: the options are out of range.
    """
    if isinstance(options, CampaignOptions) and not keywords:
        return options
    warnings.warn(
        "the keywords of a campaign are fields of CampaignOptions now; they go with the next release",
        DeprecationWarning,
        stacklevel=3,
    )
    backend: dict[str, Any] = {} if options is None else {"backend": options}
    return CampaignOptions(**backend | keywords)
