"""One kernel, timed on one machine."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from juggler.arrays import Floats
from juggler.errors import ConfigError
from juggler.nouns import Noun
from juggler.predict.kernels.spec import KernelSpec

# How a kernel came to be timed: drawn from ranges, from the shapes of real networks, where a committee
# disagreed, as one of the few that a roofline is fitted to, or again, to learn how well figures repeat.
SAMPLED_BY = ("random", "network", "active", "probe", "retest")
SHORTEST_MS = 1e-4  # a phase in which nothing was done: less than a clock can see
AT_RANDOM = ("random", "network")  # exchangeable: what intervals are calibrated and tested on


@dataclass(frozen=True)
class Sample(Noun):
    """What one kernel took, in three phases (section 4 of ResPerfNet), in milliseconds a call.

    Attributes:
        spec: the kernel.
        backend: what ran it.
        precision: what it ran in.
        threads: cores that it could use.
        pre_ms: copying its input in and reordering it.
        exec_ms: the kernel itself.
        post_ms: reordering its output and copying it out.
        spread: how far the rounds lie apart: (largest - smallest) / smallest of their execution times.
        rounds: turns it had.
        rejected: turns that were run again because the machine was disturbed.
        sampled_by: how it was chosen, one of `SAMPLED_BY`.
        machine: digest of the record of the machine that ran it.
        taken_at: when, as ISO 8601 in UTC.

    Raises:
        ConfigError: a duration that is negative or not finite, an execution of no length, or no round.
    """

    spec: KernelSpec
    backend: str
    precision: str
    threads: int
    pre_ms: float
    exec_ms: float
    post_ms: float
    spread: float
    rounds: int
    rejected: int
    sampled_by: str
    machine: str
    taken_at: str

    former_names: ClassVar[Mapping[str, str]] = {"drawn": "sampled_by"}

    def __post_init__(self) -> None:
        durations = {"pre_ms": self.pre_ms, "exec_ms": self.exec_ms, "post_ms": self.post_ms}
        wrong = [f"{k} {v}" for k, v in durations.items() if not (math.isfinite(v) and v >= 0.0)]
        if wrong or not self.exec_ms > 0.0:
            problem = ", ".join(wrong) or "an execution of 0 ms"
            raise ConfigError(f"keep a sample of {self.spec.family}", problem, "Time it again, for longer")
        if self.sampled_by not in SAMPLED_BY:
            remedy = f"Choose from {', '.join(SAMPLED_BY)}"
            raise ConfigError("keep a sample", f"sampled by {self.sampled_by!r}", remedy)
        if self.rounds < 1 or self.rejected < 0 or self.threads < 1 or not self.spread >= 0.0:
            problem = f"rounds {self.rounds}, rejected {self.rejected}, threads {self.threads}, "
            problem += f"spread {self.spread}"
            raise ConfigError("keep a sample", problem, "Give one round and one thread or more")

    @property
    def drawn(self) -> str:
        """Return `sampled_by`, as the last release called it."""
        warnings.warn("Sample.drawn is Sample.sampled_by now", DeprecationWarning, stacklevel=2)
        return self.sampled_by


def latencies_ms(samples: Sequence[Sample], phase: str = "exec") -> Floats:
    """Return what each sample took in `pre`, `exec` or `post`, `[n]`, none below what a clock can see."""
    values = np.array([getattr(sample, f"{phase}_ms") for sample in samples], np.float64)
    return np.maximum(values, SHORTEST_MS)


def by_family(samples: Sequence[Sample], families: Iterable[str]) -> dict[str, list[Sample]]:
    """Return the samples of each of the families, in their order, second timings left out."""
    once = [sample for sample in samples if sample.sampled_by != "retest"]
    return {family: [sample for sample in once if sample.spec.family == family] for family in families}
