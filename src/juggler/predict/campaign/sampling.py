"""Draw kernels to measure: over the ranges of ResPerfNet's Table 3, and over the shapes of real networks.

Half of the draws follow shapes of layers of real networks, with batch and sizes drawn anew; the networks
that predictions are tested on are not among them. Of the other half a quarter is uniform over Table 3 as in
the paper, and the rest log-uniform, for uniform ranges spend nearly all of their time on huge layers.
Kernels that would take too long, by a roofline, or too much memory are drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from juggler.errors import ConfigError
from juggler.predict.campaign.random_kernels import dressed, followed, ranged
from juggler.predict.campaign.timing import resident_bytes
from juggler.predict.kernels.spec import FAMILIES, KernelSpec

# Of 100 samples; what networks spend their time in, and what varies most, comes first. Convolutions run by
# four algorithms and take two thirds of the time of networks and more; what goes over its input once is
# known from few samples.
SHARES = {
    **{"conv": 40.0, "depthwise": 8.0, "pool": 10.0, "dense": 11.0, "global_pool": 2.5, "add": 4.0},
    **{"elementwise": 5.0, "norm": 1.5, "concat": 4.0, "softmax": 1.0, "reorder": 3.0, "recurrent": 2.0},
    **{"int8_conv": 4.5, "int8_dense": 2.0, "int8_pass": 1.5},
}
NETWORK_SHARE, UNIFORM_SHARE = 0.5, 0.25  # the second: of draws that follow no network
CAP_MS, LONG_MS, LONG_SHARE = 200.0, 1000.0, 0.05
# Longer kernels are drawn with a chance that falls with their length, or they would take nearly all the time.
THIN_MS, THIN_POWER = 10.0, 0.6
TOUCH_BYTES_PER_MS = 3e6  # memory is made anew for each turn, at about so many bytes a millisecond
MOST_WEIGHT_BYTES = 900 << 20  # an ONNX model in one piece holds less than 2 GiB, and is held twice
TRIES = 400

LatencyBound = Callable[[KernelSpec], float]  # the least that a kernel can take, in milliseconds


@dataclass(frozen=True)
class Draw:
    """A kernel to measure, and how it was drawn."""

    spec: KernelSpec
    sampled_by: str


@dataclass(frozen=True)
class Space:
    """What a campaign draws from.

    Attributes:
        families: which, by their shares of the draws.
        roof: the least that a kernel can take, in milliseconds; caps the draws.
        memory_bytes: what timing one kernel may take.
        cap_ms: longest kernel, by the roof.
        long_ms: longest of the few that may be longer.
        long_share: how many those are.
    """

    roof: LatencyBound
    families: Mapping[str, float] = field(default_factory=lambda: SHARES)
    memory_bytes: int = 4 << 30
    cap_ms: float = CAP_MS
    long_ms: float = LONG_MS
    long_share: float = LONG_SHARE

    def __post_init__(self) -> None:
        check_families(self.families)

    def draw(self, seed: int, start: int = 0) -> Iterator[Draw]:
        """Yield draws without end; each depends on the seed and its place only, so any may be left out.

        Args:
            seed: of all draws.
            start: place of the first one.

        Raises:
            ConfigError: nothing fits into the time and memory that are allowed.
        """
        index = start
        while True:
            yield self._one(np.random.default_rng([seed, index]))
            index += 1

    def fits(self, spec: KernelSpec, cap_ms: float) -> bool:
        """Say whether a kernel takes no longer than that by the roof, and fits into memory."""
        return (
            spec.weight_bytes <= MOST_WEIGHT_BYTES
            and resident_bytes(spec) <= self.memory_bytes
            and self.roof(spec) <= cap_ms
        )

    def _keep(self, spec: KernelSpec) -> float:
        """Return the chance with which a kernel is kept, by what timing it takes at least."""
        cost_ms = self.roof(spec) + resident_bytes(spec) / TOUCH_BYTES_PER_MS
        return float(min(1.0, (THIN_MS / cost_ms) ** THIN_POWER))

    def _one(self, draw: np.random.Generator) -> Draw:
        names = list(self.families)
        shares = np.array([self.families[name] for name in names], np.float64)
        family = str(draw.choice(names, p=shares / shares.sum()))
        cap_ms = self.long_ms if draw.random() < self.long_share else self.cap_ms
        follows = draw.random() < NETWORK_SHARE
        uniform = not follows and draw.random() < UNIFORM_SHARE
        for attempt in range(TRIES):
            as_given = uniform and attempt < TRIES // 20
            base = followed(family, draw) if follows else ranged(family, draw, uniform=as_given)
            spec = None if base is None else dressed(base, draw)
            if spec is not None and self.fits(spec, cap_ms) and draw.random() < self._keep(spec):
                return Draw(spec, "network" if follows else "random")
        fault = f"no {family} kernel within {cap_ms:g} ms and {self.memory_bytes >> 20} MiB in {TRIES} draws"
        raise ConfigError("draw kernels", fault, "Allow more memory or longer kernels")


def check_families(shares: Mapping[str, float]) -> None:
    """Refuse shares that nothing can be drawn by.

    Raises:
        ConfigError: no such family, none at all, or shares that are not above 0.
    """
    unknown = sorted(set(shares) - set(FAMILIES))
    if unknown or not shares or not all(share > 0.0 for share in shares.values()):
        fault = ", ".join(unknown or [f"{name} {share}" for name, share in shares.items()]) or "none"
        raise ConfigError("draw kernels of families", fault, f"Choose from {', '.join(FAMILIES)}")


def families(names: str | None) -> dict[str, float]:
    """Return the shares of families given as `conv,pool`; None takes all.

    Raises:
        ConfigError: no such family.
    """
    if names is None:
        return dict(SHARES)
    families = [name.strip() for name in names.split(",") if name.strip()]
    check_families(dict.fromkeys(families, 1.0))
    return {name: SHARES[name] for name in families}
