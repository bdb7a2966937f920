"""How long something took, and on which machine."""

from __future__ import annotations

from dataclasses import dataclass

from juggler.nouns.noun import Noun


@dataclass(frozen=True)
class Timing(Noun):
    """How long one call takes, measured; all times in milliseconds.

    Attributes:
        subject: what was run.
        backend: what ran it.
        batch: inputs a call.
        calls: calls counted.
        peak_rss_mib: largest resident memory of the process while it ran, where it was measured.
        precision: what it was run in: `float32`, `bfloat16` or `int8`.
    """

    subject: str
    backend: str
    batch: int
    calls: int
    min_ms: float
    median_ms: float
    p95_ms: float
    p99_ms: float
    peak_rss_mib: float | None = None
    precision: str = "float32"

    @property
    def throughput_per_s(self) -> float:
        """Return inputs a second at the median."""
        return self.batch / self.median_ms * 1e3


@dataclass(frozen=True)
class Machine(Noun):
    """The machine and the releases that a measured figure belongs to."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    packages: dict[str, str]
    accelerator: str | None = None
