"""From kernels to a whole network: what a sum of kernels leaves out, fitted on networks for calibration.

A micro-benchmark runs one kernel again and again: its weights stay in the caches. In a network they are out
of them, some or all, every node is dispatched by the runtime, and each call has a price of its own. What a
large kernel reads, though, has just been written by the one before, and lies nearer than where a
micro-benchmark finds it. So

    latency = fixed + nodes * overhead + sum over groups of (gain * kernels) + far * large kernels
              + weights out of cache * their price + bytes of what no kernel describes * their price

whose few coefficients are fitted on the relative errors of networks that are timed for it, never those that
are kept for tests. The paper's own composition (Eq. 2) stands beside it as a baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from juggler.arrays import Floats
from juggler.errors import ConfigError
from juggler.nouns import Noun
from juggler.predict.extract.kernels import ExtractedKernels
from juggler.predict.kernels.spec import KernelSpec

GROUPS = {"conv": "convolutions", "depthwise": "depthwise", "dense": "dense"}
OTHERS = "others"
GAINS = ("convolutions", "depthwise", "dense", OTHERS)
NAMES = ("fixed_ms", "node_ms", *GAINS, "cold_ms_per_mb", "uncovered_ms_per_mb", "far")
# What is believed before a network is timed, how firmly (the width of the belief), and the bounds. Kernels
# that are timed by copies bring their dispatch with them; few networks are so small that a call shows.
PRIOR = np.array([0.01, 0.0005, 1.0, 1.0, 1.0, 1.0, 0.0, 0.2, 0.0])
WIDTH = np.array([0.01, 0.001, 0.1, 0.2, 0.1, 0.2, 0.05, 0.5, 0.3])
LOWEST = np.array([0.0, 0.0, 0.5, 0.3, 0.5, 0.3, 0.0, 0.0, -0.7])
HIGHEST = np.array([10.0, 0.1, 2.0, 3.0, 2.0, 4.0, 2.0, 5.0, 0.7])
FIRMNESS = 0.05  # the relative error that a network is expected to have all the same
OUTLYING = 1.5  # times the usual error: from there on a network counts less
ROUNDS = 12
MB = 1e6
NEAR_MB, FAR_MB = 8.0, 64.0  # that a kernel reads and writes: from none to all of what is far
COLD_DOUBLINGS = 4.0  # of the private cache, from which on weights are as cold as those of a cold kernel


@dataclass(frozen=True)
class Composition(Noun):
    """The coefficients.

    Attributes:
        fixed_ms: of a call.
        node_ms: of each node that runs.
        convolutions: what the sum of predicted convolutions is multiplied by.
        depthwise: likewise of depthwise ones, which move more than they compute.
        dense: likewise of dense layers.
        others: likewise of everything else.
        cold_ms_per_mb: of weights that are not in the private cache, in milliseconds a megabyte.
        uncovered_ms_per_mb: of what unknown nodes read and write.
        far: what is added to the gain of a kernel that moves more than caches hold.
        networks: how many networks they were fitted on; 0 where they are what is believed beforehand.
    """

    fixed_ms: float = float(PRIOR[0])
    node_ms: float = float(PRIOR[1])
    convolutions: float = 1.0
    depthwise: float = 1.0
    dense: float = 1.0
    others: float = 1.0
    cold_ms_per_mb: float = 0.0
    uncovered_ms_per_mb: float = float(PRIOR[-2])
    far: float = 0.0
    networks: int = 0

    @classmethod
    def fit(
        cls, parts: Sequence[Parts], measured_ms: npt.ArrayLike, names: Sequence[str] | None = None
    ) -> Composition:
        """Fit the coefficients by least squares of relative errors; networks far off count less.

        Each coefficient is drawn to what is believed beforehand: a few networks move those that they tell
        of, and leave the others where they were.

        Args:
            parts: of each timed network.
            measured_ms: what each took.
            names: of the networks; all batches of one network together count as one. None: each as one.

        Raises:
            ConfigError: unequal lengths, or a duration that is not above 0.
        """
        measured = np.asarray(measured_ms, np.float64)
        if measured.shape != (len(parts),) or not (np.isfinite(measured) & (measured > 0.0)).all():
            fault = f"{len(parts)} networks and durations of shape {measured.shape}"
            raise ConfigError("fit how networks are composed", fault, "Give one above 0 ms each")
        if not parts:
            return cls()
        labels = list(names) if names is not None else [str(index) for index in range(len(parts))]
        counts = {name: labels.count(name) for name in labels}
        votes = np.array([counts[name] ** -0.5 for name in labels])
        rows = np.stack([part.row for part in parts]) / measured[:, None]
        values = dict(zip(NAMES, map(float, _solved(rows, votes)), strict=True))
        return cls(**values, networks=len(counts))

    def compose(self, parts: Parts) -> float:
        """Return the network's latency, in milliseconds."""
        return float(parts.row @ np.array([getattr(self, name) for name in NAMES]))

    def gain(self, spec: KernelSpec) -> float:
        """Return what a kernel is multiplied by within a network."""
        return float(getattr(self, GROUPS.get(spec.family, OTHERS))) + self.far * farness(spec)


@dataclass(frozen=True)
class Parts:
    """What a network is composed of.

    Attributes:
        nodes: that run.
        kernels_ms: the sum of predicted kernels, by family.
        cold_bytes: of weights, where the network as a whole does not fit into the private cache.
        uncovered_bytes: of what no kernel describes.
        far_ms: the sum of all predicted kernels, each times its `farness`.
    """

    nodes: int
    kernels_ms: Mapping[str, float]
    cold_bytes: int
    uncovered_bytes: int
    far_ms: float = 0.0

    @classmethod
    def of(cls, reading: ExtractedKernels, kernels_ms: Sequence[float | None], cache_bytes: int) -> Parts:
        """Return the parts of a network.

        Args:
            reading: its kernels.
            kernels_ms: what each is predicted to take alone; None where nothing predicts it.
            cache_bytes: of the private cache of a core.
        """
        sums: dict[str, float] = {}
        far_ms = 0.0
        missing = sum(kernel.bytes for kernel in reading.uncovered)
        for kernel, latency_ms in zip(reading.kernels, kernels_ms, strict=True):
            if latency_ms is None:
                missing += kernel.spec.bytes
            else:
                sums[kernel.spec.family] = sums.get(kernel.spec.family, 0.0) + latency_ms
                far_ms += farness(kernel.spec) * latency_ms
        cold = reading.weight_bytes if is_cold(reading, cache_bytes) else 0
        return cls(reading.nodes, sums, cold, missing, far_ms)

    @cached_property
    def row(self) -> Floats:
        """Return what each coefficient is multiplied by."""
        sums = dict.fromkeys(GAINS, 0.0)
        for family, latency_ms in self.kernels_ms.items():
            sums[GROUPS.get(family, OTHERS)] += latency_ms
        values: list[Any] = [1.0, self.nodes, *(sums[name] for name in GAINS)]
        return np.array([*values, self.cold_bytes / MB, self.uncovered_bytes / MB, self.far_ms])


def farness(spec: KernelSpec) -> float:
    """Return how much of what a kernel reads and writes but its weights no cache holds, 0 to 1."""
    moved_mb = (spec.bytes - spec.weight_bytes) / MB
    return float(np.clip(np.log(max(moved_mb, 1e-9) / NEAR_MB) / np.log(FAR_MB / NEAR_MB), 0.0, 1.0))


def coldness(reading: ExtractedKernels, cache_bytes: int) -> float:
    """Return how far a network drives its own weights out of the caches from call to call, 0 to 1.

    Nothing where all fits into the private cache, and step by step more up to 16 times that: what is out of
    the private cache is mostly in the shared one still, while the weights of a kernel that is timed cold are
    out of both.
    """
    touched = reading.weight_bytes + reading.largest_bytes
    return float(np.clip(np.log2(max(touched, 1) / max(cache_bytes, 1)) / COLD_DOUBLINGS, 0.0, 1.0))


def is_cold(reading: ExtractedKernels, cache_bytes: int) -> bool:
    """Say whether a network drives some of its own weights out of the private cache."""
    return coldness(reading, cache_bytes) > 0.0


def paper_composition(
    families: Sequence[str], pre_ms: float, exec_ms: Sequence[float], post_ms: float
) -> float:
    """Return Eq. 2: preprocessing of the first, executions of all, postprocessing of the last.

    Reorders between kernels are left out, as Eq. 5 takes them out of the executions; so are overheads.

    Args:
        families: of each kernel.
        pre_ms: preprocessing of the first kernel.
        exec_ms: execution of each kernel.
        post_ms: postprocessing of the last.
    """
    layers = [ms for family, ms in zip(families, exec_ms, strict=True) if family != "reorder"]
    return pre_ms + sum(layers) + post_ms


def _solved(rows: Floats, votes: Floats) -> Floats:
    """Return coefficients with `rows @ coefficients` near 1, within the bounds and near the prior."""
    from scipy.optimize import lsq_linear  # type: ignore[import-untyped]  # noqa: PLC0415  # heavy

    belief, believed = np.diag(1.0 / WIDTH), PRIOR / WIDTH
    weights, coefficients = votes, PRIOR
    for _ in range(ROUNDS):
        left = np.concatenate([rows * (weights / FIRMNESS)[:, None], belief])
        right = np.concatenate([weights / FIRMNESS, believed])
        coefficients = lsq_linear(left, right, bounds=(LOWEST, HIGHEST)).x
        errors = np.abs(rows @ coefficients - 1.0)
        usual = max(float(np.median(errors)) * 1.48, FIRMNESS / 5.0)
        weights = votes * np.sqrt(np.minimum(1.0, OUTLYING * usual / np.maximum(errors, 1e-12)))
    return np.asarray(coefficients, np.float64)
