"""A rough roofline from a few kernels that are always the same: it caps what a campaign draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from juggler.errors import ConfigError
from juggler.nouns import Noun
from juggler.predict.kernels.sample import Sample
from juggler.predict.kernels.spec import KernelSpec

# No vector unit is full where each channel has a sum of its own.
SLOWER = {"depthwise": 8.0, "pool": 8.0}


def probes(cap_ms: float) -> tuple[KernelSpec, ...]:
    """Return kernels that compute much, move much, and do hardly anything, in sizes from caches to memory.

    Args:
        cap_ms: longest of them, in milliseconds, on a slow core.
    """
    convolutions = [
        KernelSpec("conv", 1, c, c, s, s, kernel=(3, 3), pads=(1, 1, 1, 1))
        for c, s in ((32, 56), (64, 56), (128, 28), (256, 28), (512, 14))
    ]
    points = [KernelSpec("conv", 1, c, c, s, s) for c, s in ((64, 56), (256, 28), (1024, 14))]
    dense = [KernelSpec("dense", b, c, c) for b, c in ((1, 256), (1, 2048), (32, 1024), (256, 2048))]
    moves = [KernelSpec("add", 1, 64, 64, side, side) for side in (4, 28, 112, 256, 512)]
    pools = [KernelSpec("pool", 1, 64, 64, s, s, kernel=(2, 2), stride=(2, 2)) for s in (4, 28, 112)]
    every = (*convolutions, *points, *dense, *moves, *pools)
    return tuple(spec for spec in every if SLOW_CORE(spec) <= cap_ms)


@dataclass(frozen=True)
class RoughRoofline(Noun):
    """The least a kernel can take: an overhead, and its arithmetic or its bytes at the best rate seen."""

    overhead_ms: float
    operations_per_ms: float
    bytes_per_ms: float

    def __call__(self, spec: KernelSpec) -> float:
        """Return the least that the kernel can take, in milliseconds."""
        arithmetic_ms = SLOWER.get(spec.family, 1.0) * spec.operations / self.operations_per_ms
        return self.overhead_ms + max(arithmetic_ms, spec.bytes / self.bytes_per_ms)

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> RoughRoofline:
        """Take the best rates of some samples.

        Raises:
            ConfigError: there are none.
        """
        if not samples:
            raise ConfigError("draw a roofline", "no sample", "Measure the probes first")
        # The largest tensors come from memory, and set the pace of what is long enough to matter here.
        large = sorted(samples, key=lambda sample: sample.spec.bytes)[-max(1, len(samples) // 4) :]
        return cls(
            overhead_ms=min(sample.exec_ms for sample in samples),
            operations_per_ms=max(sample.spec.operations / sample.exec_ms for sample in samples),
            bytes_per_ms=max(sample.spec.bytes / sample.exec_ms for sample in large),
        )


SLOW_CORE = RoughRoofline(0.0, operations_per_ms=1e7, bytes_per_ms=2e6)
